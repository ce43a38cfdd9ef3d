import re
from collections import Counter
from collections.abc import Iterable, Iterator

from shakedown.lint.objects import Json, Obj, dig, matches, tree, trees
from shakedown.lint.quantity import quantity
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.workload import REPLICATED, Container, Workload
from shakedown.lint.world import World

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
RBAC_KINDS = {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}  # their names may hold colons
SELECTED = (*REPLICATED, "DaemonSet")
REFUSED = "the API server refuses the object, and the roll-out ends there"


def rendered(world: World) -> Iterable[Obj]:
    """Everything, objects of the wrong shape included."""
    return world.rendered


@rule(
    "schema-valid",
    rendered,
    why="the API server refuses an object that its schema refuses, and nothing after it rolls out",
)
def _schema_valid(obj: Obj, world: World) -> Problems:
    for error in world.tools.schemas.errors(obj):
        yield Problem(error.field, error.says, error.mend)


@rule("object-unique", rendered, why="the second of two objects with one name overwrites the first at each apply")
def _object_unique(obj: Obj, world: World) -> Problems:
    same = world.namesakes[obj.kind, obj.group, obj.namespace, obj.name]
    if len(same) > 1 and same[0] is not obj:
        yield Problem(
            "metadata.name", f"{obj} is rendered {len(same)} times, first at {same[0].source}", "give it another name"
        )


@rule("names-legal", rendered, why=REFUSED)
def _names_legal(obj: Obj, _world: World) -> Problems:
    if (obj.group, obj.kind) == ("github.com", "Workflow"):
        return
    service = obj.kind == "Service"
    pattern = LABEL if service or obj.kind == "Namespace" else SUBDOMAIN
    if not obj.name:
        yield Problem("metadata.name", "is missing", "name the object")
    elif obj.kind not in RBAC_KINDS and obj.kind != "APIService" and not pattern.fullmatch(obj.name.rstrip("-")):
        yield Problem("metadata.name", f"{obj.name!r} is no legal name", "use lower case letters, digits and hyphens")
    if service and obj.name[:1].isdigit():
        yield Problem("metadata.name", f"{obj.name!r} starts with a digit", "start a Service's name with a letter")
    for field, labels in _label_maps(obj):
        for key, value in labels.items():
            if not LABEL_KEY.fullmatch(str(key)) or not LABEL_VALUE.fullmatch(str(value)):
                yield Problem(
                    field, f"{key}: {value} is no legal label", "use at most 63 letters, digits, '-', '_', '.'"
                )


def _label_maps(obj: Obj) -> Iterator[tuple[str, dict[str, Json]]]:
    yield "metadata.labels", tree(obj.meta.get("labels"))
    yield "spec.selector.matchLabels", tree(dig(obj.spec, "selector", "matchLabels"))
    yield "spec.template.metadata.labels", tree(dig(obj.spec, "template", "metadata", "labels"))


@rule("selector-matches-template", kinds(*SELECTED), why=REFUSED)
def _selector_matches_template(obj: Obj, world: World) -> Problems:
    selector, labels = obj.spec.get("selector"), world.workloads[obj].labels
    if not tree(selector) or not matches(selector, labels):
        yield Problem(
            "spec.selector", f"does not select its own pods, whose labels are {labels}", "repeat the template's labels"
        )


@rule("selector-apart", kinds(*SELECTED), why="two controllers that select the same pods count and delete each other's")
def _selector_apart(obj: Obj, world: World) -> Problems:
    for other, workload in world.workloads.items():
        clash = other is not obj and other.kind in SELECTED and other.namespace == obj.namespace
        if clash and matches(obj.spec.get("selector"), workload.labels):
            yield Problem(
                "spec.selector", f"also selects the pods of {other}", "select by a label that only its own pods carry"
            )


def workloads(world: World) -> Iterable[Obj]:
    """All objects that make pods."""
    return world.workloads


@rule("containers-consistent", workloads, why=REFUSED)
def _containers_consistent(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    everything = workload.all_containers
    yield from _twice(f"{workload.prefix}.containers", "container", [c.name for c in everything])
    yield from _twice(
        f"{workload.prefix}.volumes", "volume", [str(v.get("name")) for v in trees(workload.pod.get("volumes"))]
    )
    if not workload.containers:
        yield Problem(f"{workload.prefix}.containers", "is empty", "give the pod a container")
    for container in everything:
        if not LABEL.fullmatch(container.name):
            yield Problem(container.field, f"{container.name!r} is no legal name", "use lower case, digits, hyphens")
        if not container.image:
            yield Problem(f"{container.field}.image", "is missing", "name the image")
        yield from _mounts(workload, container)
        yield from _ports(container)
        yield from _resources(container)
    policy = workload.pod.get("restartPolicy", "Always")
    allowed = {"Never", "OnFailure"} if obj.kind in {"Job", "CronJob"} else {"Always"}
    if obj.kind != "Pod" and policy not in allowed:
        yield Problem(
            f"{workload.prefix}.restartPolicy",
            f"{policy} is not for a {obj.kind}",
            f"use {' or '.join(sorted(allowed))}",
        )


def _twice(field: str, what: str, names: list[str]) -> Problems:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(field, f"two are named {name!r}", f"give each {what} a name of its own")


def _mounts(workload: Workload, container: Container) -> Problems:
    mounts = trees(container.data.get("volumeMounts"))
    yield from _twice(f"{container.field}.volumeMounts", "mount path", [str(m.get("mountPath")) for m in mounts])
    claims = {t.get("metadata", {}).get("name") for t in trees(workload.obj.spec.get("volumeClaimTemplates"))}
    for mount in mounts:
        if mount.get("name") not in workload.volumes and mount.get("name") not in claims:
            yield Problem(
                f"{container.field}.volumeMounts[{mount.get('name')}]",
                "mounts a volume that the pod does not have",
                f"add it to the volumes, which are {sorted(workload.volumes)}",
            )
        if not str(mount.get("mountPath", "")).startswith("/"):
            yield Problem(
                f"{container.field}.volumeMounts[{mount.get('name')}]", "has no absolute path", "start it with /"
            )


def _ports(container: Container) -> Problems:
    field = f"{container.field}.ports"
    yield from _twice(field, "port", [str(p["name"]) for p in container.ports if "name" in p])
    yield from _twice(field, "port", [f"{p.get('containerPort')}/{p.get('protocol', 'TCP')}" for p in container.ports])
    for port in container.ports:
        if not 0 < (port.get("containerPort") or 0) < 65536:
            yield Problem(field, f"{port.get('containerPort')} is no port", "use 1 to 65535")
        if "name" in port and not PORT_NAME.fullmatch(str(port["name"])):
            yield Problem(
                field, f"{port['name']!r} is no port name", "use at most 15 lower case letters, digits, hyphens"
            )
        if port.get("protocol", "TCP") not in {"TCP", "UDP", "SCTP"}:
            yield Problem(field, f"{port['protocol']} is no protocol", "use TCP, UDP or SCTP")


def _resources(container: Container) -> Problems:
    limits = tree(dig(container.data, "resources", "limits"))
    requests = tree(dig(container.data, "resources", "requests"))
    for name, wanted in requests.items():
        asked, limit = quantity(wanted), quantity(limits.get(name))
        if limit is not None and asked is not None and asked > limit:
            yield Problem(
                f"{container.field}.resources",
                f"requests {wanted} of {name} and is limited to {limits[name]}",
                "a request is at most the limit",
            )
    for name in {*limits, *requests}:
        if name not in {"cpu", "memory", "ephemeral-storage"} and "/" not in name and not name.startswith("hugepages-"):
            yield Problem(
                f"{container.field}.resources", f"{name!r} is no resource", "use cpu, memory or ephemeral-storage"
            )


@rule("namespace-declared", rendered, why="an object in a namespace that nobody creates is refused")
def _namespace_declared(obj: Obj, world: World) -> Problems:
    declared = {ns.name for ns in world.of("Namespace")}
    if declared and obj.namespace and obj.namespace not in declared | {"default", "kube-system", "kube-public"}:
        yield Problem(
            "metadata.namespace",
            f"no Namespace {obj.namespace} is rendered",
            f"use one of {sorted(declared)}, or add it",
        )


@rule("service-ports-legal", kinds("Service"), why=REFUSED)
def _service_ports_legal(obj: Obj, _world: World) -> Problems:
    ports = trees(obj.spec.get("ports"))
    if len(ports) > 1 and not all(p.get("name") for p in ports):
        yield Problem("spec.ports", "several ports, and one has no name", "name each port")
    if not ports and obj.spec.get("type") != "ExternalName":
        yield Problem("spec.ports", "is empty", "list the ports")
    yield from _twice("spec.ports", "port", [str(p.get("name")) for p in ports])
    yield from _twice("spec.ports", "port", [f"{p.get('port')}/{p.get('protocol', 'TCP')}" for p in ports])
    for port in ports:
        numbers = [port.get("port"), port.get("targetPort"), port.get("nodePort")]
        for number in (n for n in numbers if isinstance(n, int)):
            if not 0 < number < 65536:
                yield Problem("spec.ports", f"{number} is no port", "use 1 to 65535")
        if port.get("protocol", "TCP") not in {"TCP", "UDP", "SCTP"}:
            yield Problem("spec.ports", f"{port['protocol']} is no protocol", "use TCP, UDP or SCTP")
        if "nodePort" in port and not 30000 <= port["nodePort"] <= 32767:
            yield Problem("spec.ports", f"nodePort {port['nodePort']} is out of range", "use 30000 to 32767")
    if obj.spec.get("type", "ClusterIP") not in {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}:
        yield Problem(
            "spec.type", f"{obj.spec['type']} is no type of Service", "use ClusterIP, NodePort or LoadBalancer"
        )
