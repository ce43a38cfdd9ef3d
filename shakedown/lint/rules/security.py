import re
from collections.abc import Iterable

from shakedown.lint.objects import Json, Obj, dig, tree, trees
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.rules.controllers import controllers
from shakedown.lint.workload import Container, Workload
from shakedown.lint.world import World

MOVING = {"latest", "stable", "master", "main", "edge", "nightly", "dev"}
HOST = ("hostNetwork", "hostPID", "hostIPC")
PORTS_BELOW_1024 = "NET_BIND_SERVICE"  # the one capability that the level `restricted` lets a pod have
LEVELS = {"privileged", "baseline", "restricted"}


def workloads(world: World) -> Iterable[Obj]:
    """All objects that make pods."""
    return world.workloads


def serving(world: World) -> Iterable[Obj]:
    """Workloads beside model servers, and in namespaces that say that they are restricted."""
    homes = {obj.namespace for obj in world.servers}
    restricted = (
        ns for ns in world.of("Namespace") if ns.labels.get("pod-security.kubernetes.io/enforce") == "restricted"
    )
    homes |= {ns.name for ns in restricted}
    return (obj for obj in world.workloads if obj.namespace in homes)


def serving_namespaces(world: World) -> Iterable[Obj]:
    """The namespaces that pods run in."""
    homes = {obj.namespace for obj in (*world.workloads, *world.of("Prometheus", "Alertmanager"))}
    return (ns for ns in world.of("Namespace") if ns.name in homes)


@rule("image-pinned", workloads, why="a moving tag runs another program after the next restart, on some nodes only")
def _image_pinned(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].all_containers:
        name, _, digest = container.image.partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        if not digest and (not tag or tag in MOVING):
            yield Problem(
                f"{container.field}.image", f"{container.image!r} is not pinned", "name a version or a digest"
            )
        elif digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            yield Problem(f"{container.field}.image", f"{digest!r} is no digest", "use sha256: and 64 hex digits")
        elif re.search(r"\s|^$", container.image) or not re.fullmatch(
            r"[a-z0-9][a-z0-9._:/-]*", name.rpartition(":")[0] or name
        ):
            yield Problem(f"{container.field}.image", f"{container.image!r} is no image name", "correct it")
        pull = container.data.get("imagePullPolicy")
        if pull not in {None, "Always", "IfNotPresent", "Never"}:
            yield Problem(f"{container.field}.imagePullPolicy", f"{pull} is unknown", "use IfNotPresent")


@rule("pods-restricted", serving, why="a break-in through a model must not become one of the node")
def _pods_restricted(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for key in HOST:
        if workload.pod.get(key):
            yield Problem(f"{workload.prefix}.{key}", "shares the node's", f"drop {key}")
    for name, volume in workload.volumes.items():
        if "hostPath" in volume:
            yield Problem(f"{workload.prefix}.volumes[{name}]", "mounts a folder of the node", "use a claim")
    for container in workload.all_containers:
        yield from _container_restricted(workload, container, may_add=frozenset())
        if dig(container.data, "securityContext", "readOnlyRootFilesystem") is not True:
            yield Problem(
                f"{container.field}.securityContext.readOnlyRootFilesystem",
                "is not true",
                "set true; mount an emptyDir where it must write",
            )


def elsewhere(world: World) -> Iterable[Obj]:
    """Controllers outside of the namespaces that are restricted."""
    inside = {obj.namespace for obj in serving(world)}
    return (obj for obj in controllers(world) if obj.namespace not in inside)


@rule(
    "controllers-restricted", elsewhere, why="who breaks into a controller holds its rights; the node need not be added"
)
def _controllers_restricted(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].all_containers:
        yield from _container_restricted(world.workloads[obj], container, may_add=frozenset({PORTS_BELOW_1024}))


def _container_restricted(workload: Workload, container: Container, may_add: frozenset[str]) -> Problems:
    field = f"{container.field}.securityContext"
    own, pod = tree(container.data.get("securityContext")), tree(workload.pod.get("securityContext"))

    def setting(key: str) -> Json:
        return own.get(key, pod.get(key))

    if setting("runAsNonRoot") is not True or setting("runAsUser") == 0:
        yield Problem(f"{field}.runAsNonRoot", "may run as root", "set runAsNonRoot: true and a runAsUser other than 0")
    if own.get("allowPrivilegeEscalation") is not False:
        yield Problem(f"{field}.allowPrivilegeEscalation", "is not false", "set false")
    if own.get("privileged"):
        yield Problem(f"{field}.privileged", "is true", "drop it")
    added = set(dig(own, "capabilities", "add") or []) - may_add
    if "ALL" not in (dig(own, "capabilities", "drop") or []) or added:
        yield Problem(f"{field}.capabilities", "keeps capabilities", "drop: [ALL], add none")
    if dig(setting("seccompProfile"), "type") not in {"RuntimeDefault", "Localhost"}:
        yield Problem(f"{field}.seccompProfile", "is not set", "set type: RuntimeDefault in the pod's securityContext")


@rule("no-token-mounted", serving, why="a server that never asks Kubernetes should hold no key to it")
def _no_token_mounted(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    name = str(workload.pod.get("serviceAccountName", "default"))
    account = world.find("ServiceAccount", obj.namespace, name)
    if _has_rights(obj.namespace, name, world):
        return
    mounted = workload.pod.get(
        "automountServiceAccountToken", (account.data if account else {}).get("automountServiceAccountToken", True)
    )
    if mounted:
        yield Problem(
            f"{workload.prefix}.automountServiceAccountToken",
            "mounts a token",
            "set false here or on the ServiceAccount",
        )


def _has_rights(namespace: str, account: str, world: World) -> bool:
    bindings = world.of("RoleBinding", "ClusterRoleBinding")
    subjects = ((b, s) for b in bindings for s in trees(b.data.get("subjects")))
    return any(s.get("name") == account and s.get("namespace", b.namespace) == namespace for b, s in subjects)


@rule("roles-narrow", kinds("Role", "ClusterRole"), why="whoever takes over a pod holds every right of its account")
def _roles_narrow(obj: Obj, _world: World) -> Problems:
    for number, each in enumerate(trees(obj.data.get("rules"))):
        verbs, resources = each.get("verbs") or [], each.get("resources") or []
        groups = each.get("apiGroups") or []
        if "*" in verbs and "*" in resources and ("*" in groups or "" in groups):
            yield Problem(f"rules[{number}]", "grants everything", "name the verbs and resources that are needed")
        elif "*" in groups:
            yield Problem(f"rules[{number}].apiGroups", "names every group", "name the groups that are needed")
        if not verbs:
            yield Problem(f"rules[{number}].verbs", "is empty", "name the verbs")
        if (
            "secrets" in resources
            and {"*", "create", "update", "patch"} & set(verbs)
            and "*" not in groups
            and obj.kind == "ClusterRole"
            and "monitoring.coreos.com" not in str(obj.data)
        ):
            yield Problem(f"rules[{number}]", "may write every Secret of the cluster", "use a Role in one namespace")


@rule(
    "no-cluster-admin",
    kinds("ClusterRoleBinding", "RoleBinding"),
    why="a workload that is cluster-admin is the cluster, once taken over",
)
def _no_cluster_admin(obj: Obj, _world: World) -> Problems:
    if dig(obj.data, "roleRef", "name") == "cluster-admin":
        yield Problem("roleRef.name", "grants cluster-admin", "bind a role that holds what is needed")


@rule(
    "namespace-enforces-pod-security",
    serving_namespaces,
    why="without it, the next manifest may run as root beside the models",
)
def _namespace_enforces_pod_security(obj: Obj, _world: World) -> Problems:
    level = obj.labels.get("pod-security.kubernetes.io/enforce")
    if level not in LEVELS - {"privileged"}:
        yield Problem("metadata.labels", f"pod-security.kubernetes.io/enforce is {level}", "set restricted")
