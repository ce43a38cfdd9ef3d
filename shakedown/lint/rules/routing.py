import re
from collections.abc import Iterable

from shakedown.lint.doors import ROUTES, backends, doors, is_routed
from shakedown.lint.objects import Obj, Tree, dig, matches, tree, trees
from shakedown.lint.quantity import seconds
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.workload import Container
from shakedown.lint.world import World

HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
ENTRY_POINT = re.compile(r"--entrypoints\.(\w+)\.address=:(\d+)(/tcp)?", re.IGNORECASE)
CONTROLLERS = {  # as each program calls itself in a class of either kind, by a part of its image's name
    "GatewayClass": {"traefik": "traefik.io/gateway-controller"},
    "IngressClass": {"traefik": "traefik.io/ingress-controller", "nginx": "k8s.io/ingress-nginx"},
}
DIAL_S = 2.0  # a deleted pod's address answers nothing; until the dial ends, a retry can't start


def stable(world: World) -> Iterable[Obj]:
    """Model servers that a Service selects: what clients should be able to reach."""
    return world.stable_servers


@rule(
    "route-backends-exist",
    kinds("Ingress", *ROUTES),
    why="the gateway answers 500 or 503 for a backend that is not there",
)
def _route_backends_exist(obj: Obj, world: World) -> Problems:
    if not backends(obj):
        yield Problem("spec.rules", "leads nowhere", "name a backend Service")
    for namespace, name, port, _ in backends(obj):
        service = world.find("Service", namespace, name)
        if service is None:
            there = [s.name for s in world.of("Service") if s.namespace == namespace]
            yield Problem("spec.rules", f"Service {namespace}/{name} is not rendered", f"use one of {there}")
            continue
        ports = trees(service.spec.get("ports"))
        if port not in {p.get("port") for p in ports} | (
            {p.get("name") for p in ports} if obj.kind == "Ingress" else set()
        ):
            yield Problem("spec.rules", f"{service} has no port {port}", f"use one of {[p.get('port') for p in ports]}")


@rule(
    "route-speaks-the-protocol",
    kinds("Ingress", *ROUTES),
    why="HTTP sent to a gRPC port, or gRPC without HTTP/2, answers errors only",
)
def _route_speaks_the_protocol(obj: Obj, world: World) -> Problems:
    for namespace, name, number, _ in backends(obj):
        service = world.find("Service", namespace, name)
        for port in (
            (p for p in trees(service.spec.get("ports")) if number in {p.get("port"), p.get("name")}) if service else ()
        ):
            for server in (world.servers.get(w.obj) for w in world.backends(service)) if service else ():
                target = server and server.workload.port_behind(port)
                if (
                    server
                    and target == server.grpc_port
                    and obj.kind == "Ingress"
                    and "GRPC" not in str(obj.annotations)
                ):
                    yield Problem("spec.rules", f"port {number} of {service} is gRPC", "lead to the REST port")
                if server and target == server.rest_port and obj.kind == "GRPCRoute":
                    yield Problem("spec.rules", f"port {number} of {service} is REST", "lead to the gRPC port")
                if (
                    server
                    and target == server.grpc_port
                    and obj.kind != "Ingress"
                    and port.get("appProtocol") != "kubernetes.io/h2c"
                ):
                    yield Problem(
                        "spec.rules", f"port {number} of {service} has no appProtocol kubernetes.io/h2c", "set it"
                    )


@rule(
    "route-weights-add-up",
    kinds(*ROUTES),
    why="weights decide who serves whom: a canary above the stable share is a roll-out by accident",
)
def _route_weights_add_up(obj: Obj, world: World) -> Problems:
    for number, each in enumerate(trees(obj.spec.get("rules"))):
        refs = trees(each.get("backendRefs"))
        weights = [int(r.get("weight", 1)) for r in refs]
        field = f"spec.rules[{number}].backendRefs"
        if not refs and not any("redirect" in str(f.get("type")).lower() for f in trees(each.get("filters"))):
            yield Problem(field, "is empty: its requests get 500", "name a backend")
        if refs and sum(weights) == 0:
            yield Problem(field, "all weights are 0", "give the stable Service a weight")
        if len({(r.get("name"), r.get("port")) for r in refs}) < len(refs):
            yield Problem(field, "names one backend twice", "name each backend once")
        tracks = [_is_routed_canary(r, obj, world) for r in refs]
        canary = sum(w for w, c in zip(weights, tracks, strict=True) if c)
        if any(tracks) and not all(tracks) and not canary * 2 < sum(weights):
            yield Problem(field, f"the canary gets {canary} of {sum(weights)}", "give it less than half")
        if any(tracks) and all(tracks) and not _asks_for_canary(each):
            yield Problem(field, "leads everybody to the canary", "match a header, or split by weight")


def _is_routed_canary(ref: Tree, obj: Obj, world: World) -> bool:
    service = world.find("Service", str(ref.get("namespace", obj.namespace)), ref.get("name"))
    return (
        service is not None
        and any(w.obj in world.canaries for w in world.backends(service))
        and not any(w.obj in world.stable_servers for w in world.backends(service))
    )


def _asks_for_canary(each: Tree) -> bool:
    conditions = trees(each.get("matches"))
    return bool(conditions) and all(m.get("headers") or m.get("queryParams") for m in conditions)


@rule(
    "route-finds-gateway",
    kinds(*ROUTES),
    why="a route that no listener takes is never served, and only its status says so",
)
def _route_finds_gateway(obj: Obj, world: World) -> Problems:
    if not trees(obj.spec.get("parentRefs")):
        yield Problem("spec.parentRefs", "is empty", "name the Gateway")
    if not obj.spec.get("hostnames"):
        yield Problem("spec.hostnames", "is empty: it takes the requests of every host", "name the hosts")
    for host in obj.spec.get("hostnames") or []:
        if not HOST.fullmatch(str(host)):
            yield Problem(
                "spec.hostnames", f"{host!r} is no host name", "use lower case letters, digits, hyphens, dots"
            )
    for ref in trees(obj.spec.get("parentRefs")):
        gateway = world.find("Gateway", str(ref.get("namespace", obj.namespace)), ref.get("name"))
        if gateway is None:
            there = [str(g) for g in world.of("Gateway")]
            yield Problem(
                "spec.parentRefs",
                f"Gateway {ref.get('namespace', obj.namespace)}/{ref.get('name')} is not rendered",
                f"use one of {there}",
            )
            continue
        section = ref.get("sectionName")
        listeners = [li for li in trees(gateway.spec.get("listeners")) if section in {None, li.get("name")}]
        if not listeners:
            yield Problem(
                "spec.parentRefs",
                f"{gateway} has no listener {section!r}",
                f"use one of {[li.get('name') for li in trees(gateway.spec.get('listeners'))]}",
            )
        elif not any(_takes(li, gateway, obj, world) for li in listeners):
            yield Problem(
                "spec.parentRefs",
                f"no listener of {gateway} takes routes of {obj.namespace} for its host names",
                "set allowedRoutes on the listener, or correct the host",
            )


def _takes(listener: Tree, gateway: Obj, obj: Obj, world: World) -> bool:
    allowed = tree(dig(listener, "allowedRoutes", "namespaces"))
    where = allowed.get("from", "Same")
    near = where == "All" or (where == "Same" and obj.namespace == gateway.namespace)
    near = near or (
        where == "Selector"
        and bool(tree(dig(allowed, "selector", "matchLabels")))
        and matches(allowed.get("selector"), world.namespaces[obj.namespace])
    )
    host, hosts = listener.get("hostname"), obj.spec.get("hostnames")
    return near and (
        not host or not hosts or any(h == host or (host[0] == "*" and h.endswith(host[1:])) for h in hosts)
    )


@rule("gateway-has-its-class", kinds("Gateway"), why="a Gateway whose class or port nobody answers never listens")
def _gateway_has_its_class(obj: Obj, world: World) -> Problems:
    name = obj.spec.get("gatewayClassName")
    if world.find("GatewayClass", "", name) is None:
        yield Problem(
            "spec.gatewayClassName",
            f"GatewayClass {name} is not rendered",
            f"use one of {[c.name for c in world.of('GatewayClass')]}",
        )
    points = {
        int(m[2]): m[1]
        for d in doors(world)
        for c in d.containers
        for a in c.command_line
        if (m := ENTRY_POINT.fullmatch(a))
    }
    for listener in trees(obj.spec.get("listeners")):
        if points and listener.get("port") not in points:
            yield Problem(
                f"spec.listeners[{listener.get('name')}].port",
                f"{listener.get('port')} is no entry point of the gateway",
                f"use one of {points}",
            )
        if listener.get("protocol") not in {"HTTP", "HTTPS", "TLS"}:
            yield Problem(
                f"spec.listeners[{listener.get('name')}].protocol",
                f"{listener.get('protocol')} carries no route",
                "use HTTP or HTTPS",
            )


@rule(
    "class-has-controller",
    kinds("GatewayClass", "IngressClass"),
    why="a class whose controller does not run is served by nobody",
)
def _class_has_controller(obj: Obj, world: World) -> Problems:
    controller = str(obj.spec.get("controllerName") or obj.spec.get("controller"))
    fitting = [name for door in doors(world) for each in door.containers for name in _calls_itself(each, obj.kind)]
    if fitting and controller not in fitting:
        yield Problem("spec", f"controller {controller} does not run here", f"use one of {fitting}")


def _calls_itself(container: Container, kind: str) -> list[str]:
    """How a program is named in classes of a kind: as it was told, else as it is by default."""
    told = [word.partition("=")[2] for word in container.command_line if word.startswith("--controller-class=")]
    usual = [called for name, called in CONTROLLERS[kind].items() if name in container.image]
    return told if told and kind == "IngressClass" else usual


@rule("ingress-has-its-class", kinds("Ingress"), why="an Ingress without a class that is served is ignored")
def _ingress_has_its_class(obj: Obj, world: World) -> Problems:
    name = obj.spec.get("ingressClassName")
    classes = [c.name for c in world.of("IngressClass")]
    if name is None or (classes and name not in classes):
        yield Problem("spec.ingressClassName", f"is {name}", f"use one of {classes}")
    for each in trees(obj.spec.get("rules")):
        if not HOST.fullmatch(str(each.get("host", ""))):
            yield Problem("spec.rules", f"{each.get('host')!r} is no host name", "name the host that clients ask for")
        for path in trees(dig(each, "http", "paths")):
            if path.get("pathType") not in {"Prefix", "Exact", "ImplementationSpecific"} or not str(
                path.get("path")
            ).startswith("/"):
                yield Problem(
                    "spec.rules",
                    f"path {path.get('path')!r} of type {path.get('pathType')!r}",
                    "use an absolute path and Prefix or Exact",
                )
            elif not "/v1/models".startswith(str(path["path"]).rstrip("/")) and not str(path["path"]).startswith(
                "/v1/models"
            ):
                yield Problem(
                    "spec.rules", f"path {path['path']!r} is none that the server knows", "lead / or /v1/models to it"
                )
    for tls in trees(obj.spec.get("tls")):
        if tls.get("secretName") and world.find("Secret", obj.namespace, tls["secretName"]) is None:
            yield Problem("spec.tls", f"Secret {tls['secretName']} is not rendered", "add it")


@rule("clients-find-servers", stable, why="a server that no route leads to gets no request from outside")
def _clients_find_servers(obj: Obj, world: World) -> Problems:
    if not any(is_routed(s, world) for s in world.services_of(obj)):
        yield Problem("metadata.name", "no Ingress or HTTPRoute leads to a Service of it", "lead one to its REST port")


@rule(
    "door-gives-up-on-the-dead",
    lambda world: [d.obj for d in doors(world)],
    why="the address of a deleted pod answers nothing: each dial hangs until its time-out",
)
def _door_gives_up_on_the_dead(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].containers:
        words = " ".join(container.command_line).lower()
        if "--entrypoints" not in words:
            continue
        given = re.search(r"--serverstransport\.forwardingtimeouts\.dialtimeout=(\S+)", words)
        wait = seconds(given[1]) if given else None
        if wait is None or not 0 < wait <= DIAL_S:
            yield Problem(
                f"{container.field}.args",
                f"dial time-out is {given[1] if given else '30s (default)'}",
                f"--serverstransport.forwardingtimeouts.dialtimeout of at most {DIAL_S:g}s",
            )


@rule(
    "door-is-served",
    lambda world: [d.obj for d in doors(world)],
    why="a front door without probes and Service serves nobody while it starts, or at all",
)
def _door_is_served(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for container in workload.containers:
        if not container.data.get("readinessProbe"):
            yield Problem(f"{container.field}.readinessProbe", "is missing", "add it")
        for name in ("readinessProbe", "livenessProbe", "startupProbe"):
            port = dig(container.data, name, "httpGet", "port")
            if port is not None and container.port_number(port) not in workload.declared_ports:
                yield Problem(
                    f"{container.field}.{name}", f"asks port {port}, which is not declared", "use a declared port"
                )
    for service in (s for s in world.services_of(obj) if s.spec.get("type") == "LoadBalancer"):
        ports = [p.get("port") for p in trees(service.spec.get("ports"))]
        if not {80, 443} & set(ports):
            yield Problem("metadata.name", f"{service} opens {ports}, and clients ask 80 or 443", "open one of them")
    types = {s.spec.get("type", "ClusterIP") for s in world.services_of(obj)}
    if not types & {"NodePort", "LoadBalancer"}:
        yield Problem(
            "metadata.name",
            "no Service of a type that is reached from outside selects it",
            "add one of type NodePort or LoadBalancer",
        )
