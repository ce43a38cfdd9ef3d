from collections.abc import Iterable

from shakedown.lint.doors import backends, is_routed
from shakedown.lint.objects import Obj, Tree, dig, tree, trees
from shakedown.lint.quantity import quantity
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.server import Server
from shakedown.lint.world import World

NGINX = "nginx.ingress.kubernetes.io/canary"
KNOWN = {
    NGINX,
    *(
        f"{NGINX}-{k}"
        for k in ("weight", "weight-total", "by-header", "by-header-value", "by-header-pattern", "by-cookie")
    ),
}


def canaries(world: World) -> Iterable[Obj]:
    """Canaries that have a stable server beside them."""
    return (c for c in world.canaries if stable_of(c, world))


def stable_of(obj: Obj, world: World) -> Obj | None:
    """The stable server of the canary's namespace."""
    return next((s for s in world.stable_servers if s.namespace == obj.namespace), None)


def stable_services(world: World) -> Iterable[Obj]:
    """Services that select a stable server, where there is a canary."""
    return (
        s
        for s in world.of("Service")
        if world.canaries and any(w.obj in world.stable_servers for w in world.backends(s))
    )


def canary_ingresses(world: World) -> Iterable[Obj]:
    """Ingresses with any annotation of a canary."""
    return (i for i in world.of("Ingress") if any(str(k).startswith(NGINX) for k in i.annotations))


@rule(
    "canary-has-what-stable-has",
    canaries,
    why="a canary that differs in more than the model proves nothing about the model",
)
def _canary_has_what_stable_has(obj: Obj, world: World) -> Problems:
    stable = stable_of(obj, world)
    if stable is None:
        return
    here, there = world.servers[obj], world.servers[stable]
    claims = set(here.workload.claims), set(there.workload.claims)
    if claims[0] != claims[1]:
        yield Problem(
            f"{here.workload.prefix}.volumes",
            f"mounts claims {sorted(claims[0])}, the stable one {sorted(claims[1])}",
            "mount the same model store",
        )
    ports = set(here.workload.declared_ports), set(there.workload.declared_ports)
    names = here.container.name, there.container.name
    if names[0] != names[1]:
        yield Problem(f"{here.container.field}.name", f"the stable one's is {names[1]}", "alerts select by it: use it")
    if ports[0] != ports[1]:
        missing = sorted(map(str, ports[1] - ports[0]))
        yield Problem(
            f"{here.container.field}.ports",
            f"differ from the stable one's, missing: {missing}",
            "declare the same ports",
        )
    yield from _settings(here, there)


def _settings(here: Server, there: Server) -> Problems:
    for name in ("rest_port", "grpc_port"):
        if getattr(here, name) != getattr(there, name):
            yield Problem(
                here.field, f"{name} is {getattr(here, name)}, the stable one's {getattr(there, name)}", "use the same"
            )
    for resource in ("cpu", "memory"):
        for kind in ("request", "limit"):
            own, other = (quantity(getattr(s.container, kind)(resource)) for s in (here, there))
            if own != other:
                yield Problem(
                    f"{here.container.field}.resources",
                    f"{kind} of {resource} differs from the stable one's",
                    "give it the same",
                )
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if tree(here.container.data.get(probe)).keys() != tree(there.container.data.get(probe)).keys():
            yield Problem(
                f"{here.container.field}.{probe}", "differs from the stable one's", "probe it in the same way"
            )
    names = set(here.flags) ^ set(there.flags)
    if names - {"model_config_file", "model_name", "model_base_path"}:
        yield Problem(here.field, f"flags differ: {sorted(names)}", "start it with the same flags")
    if dig(here.container.data, "lifecycle") != dig(there.container.data, "lifecycle"):
        yield Problem(f"{here.container.field}.lifecycle", "differs from the stable one's", "drain it in the same way")


@rule(
    "canary-serves-the-same-model",
    canaries,
    why="a canary under another model name answers 404 to every request it is given",
)
def _canary_serves_the_same_model(obj: Obj, world: World) -> Problems:
    stable = stable_of(obj, world)
    if stable is not None:
        names, others = world.model_names(world.servers[obj]), world.model_names(world.servers[stable])
        if names and others and names != others:
            yield Problem(
                world.servers[obj].field,
                f"serves {sorted(names)}, the stable one {sorted(others)}",
                "serve the same model name",
            )


@rule("canary-is-reached", canaries, why="a canary that gets no traffic passes every check, until it is promoted")
def _canary_is_reached(obj: Obj, world: World) -> Problems:
    own = [s for s in world.services_of(obj) if not any(w.obj in world.stable_servers for w in world.backends(s))]
    if not own:
        yield Problem("metadata.name", "no Service selects the canary alone", "add one")
    elif not any(is_routed(s, world) for s in own):
        yield Problem("metadata.name", f"no route leads to {own[0]}", "add it as a backend with a weight")
    stable = stable_of(obj, world)
    usual = {p.get("name"): p.get("port") for s in world.services_of(stable) for p in _ports(s)} if stable else {}
    for service in own:
        for port in _ports(service):
            if usual.get(port.get("name"), port.get("port")) != port.get("port"):
                yield Problem(
                    "metadata.name",
                    f"{service} has {port.get('name')} on {port.get('port')}, the stable one on {usual[port['name']]}",
                    "offer it on the same port: who is sent over to the canary asks there",
                )


def _ports(service: Obj) -> list[Tree]:
    return trees(service.spec.get("ports"))


@rule("canary-apart", stable_services, why="a Service over both tracks sends the canary an uncontrolled share")
def _canary_apart(obj: Obj, world: World) -> Problems:
    both = [str(w.obj) for w in world.backends(obj) if w.obj in world.canaries]
    routed = is_routed(obj, world)
    if both and routed:
        yield Problem("spec.selector", f"selects {', '.join(both)} too", "select the stable track's label")


@rule(
    "canary-ingress-splits",
    canary_ingresses,
    why="ingress-nginx ignores a canary that its annotations or its twin do not make one",
)
def _canary_ingress_splits(obj: Obj, world: World) -> Problems:
    notes: Tree = {k: v for k, v in obj.annotations.items() if str(k).startswith(NGINX)}
    for name in set(notes) - KNOWN:
        yield Problem("metadata.annotations", f"{name} is unknown", f"use one of {sorted(KNOWN)}")
    if notes.get(NGINX) != "true":
        yield Problem("metadata.annotations", f"{NGINX} is {notes.get(NGINX)}", 'set "true"')
    weight = str(notes.get(f"{NGINX}-weight", ""))
    if not (weight.isdigit() and 0 < int(weight) < 50):
        yield Problem("metadata.annotations", f"canary-weight is {weight or 'missing'}", "set 1 to 49")
    twins = [
        i
        for i in world.of("Ingress")
        if i.namespace == obj.namespace and NGINX not in i.annotations and _hosts(i) == _hosts(obj)
    ]
    if not twins:
        yield Problem("spec.rules", "no other Ingress has its host and paths", "repeat those of the stable Ingress")
    for namespace, name, _, _ in backends(obj):
        service = world.find("Service", namespace, name)
        if service and not any(w.obj in world.canaries for w in world.backends(service)):
            yield Problem("spec.rules", f"leads to {service}, which is not the canary", "lead to the canary's Service")


def _hosts(ingress: Obj) -> set[tuple[str, str]]:
    return {
        (str(r.get("host")), str(p.get("path")))
        for r in trees(ingress.spec.get("rules"))
        for p in trees(dig(r, "http", "paths"))
    }


@rule(
    "stable-is-not-annotated",
    kinds("Ingress"),
    why="without a stable Ingress for a host, there is nothing to take a share from",
)
def _stable_is_not_annotated(obj: Obj, world: World) -> Problems:
    if NGINX not in obj.annotations:
        for namespace, name, _, _ in backends(obj):
            service = world.find("Service", namespace, name)
            behind = world.backends(service) if service else []
            if behind and all(w.obj in world.canaries for w in behind):
                yield Problem("spec.rules", f"leads everybody to the canary's {service}", "lead to the stable Service")
