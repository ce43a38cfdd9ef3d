from collections.abc import Iterable, Iterator

from shakedown.lint.objects import Json, Obj, dig, tree, trees
from shakedown.lint.quantity import quantity
from shakedown.lint.rule import Problem, Problems, rule
from shakedown.lint.workload import Workload
from shakedown.lint.world import World

REFUSED = "the API server refuses the object, and the roll-out ends there"
BUILT_IN = {"", "apps", "batch", "autoscaling", "policy"}
# values that the API server insists on and its schema does not list, by the field's name
ALLOWED: dict[str, set[str]] = {
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "fsGroupChangePolicy": {"Always", "OnRootMismatch"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "nodeTaintsPolicy": {"Honor", "Ignore"},
    "podReplacementPolicy": {"Failed", "TerminatingOrFailed"},
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "selectPolicy": {"Max", "Min", "Disabled"},
    "unhealthyPodEvictionPolicy": {"AlwaysAllow", "IfHealthyBudget"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "scheme": {"HTTP", "HTTPS"},
    "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"},
    "persistentVolumeReclaimPolicy": {"Retain", "Delete", "Recycle"},
    "appProtocol": {"http", "https", "kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss", "grpc"},
}
POSITIVE = {
    "periodSeconds",
    "timeoutSeconds",
    "failureThreshold",
    "successThreshold",
    "maxSkew",
    "groupPriorityMinimum",
}
POSITIVE |= {"versionPriority", "activeDeadlineSeconds"}
NO_SOURCE = {"capacity", "claimRef", "nodeAffinity"}  # mappings of a volume that say nothing of where its files are
FIELD_PATHS = {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"}
FIELD_PATHS |= {"status.hostIP", "status.podIP", "status.podIPs", "status.hostIPs"}


def built_in(world: World) -> Iterable[Obj]:
    """Objects of Kubernetes' own groups; custom resources list their values in their schema."""
    return (
        o
        for o in world.objects
        if o.group in BUILT_IN
        or o.group in {"networking.k8s.io", "rbac.authorization.k8s.io", "apiregistration.k8s.io"}
    )


def workloads(world: World) -> Iterable[Obj]:
    """All objects that make pods."""
    return world.workloads


def _leaves(value: Json, path: str, name: str) -> Iterator[tuple[str, str, Json]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key), str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]", name)
    else:
        yield path, name, value


@rule("values-legal", built_in, why=REFUSED)
def _values_legal(obj: Obj, _world: World) -> Problems:
    for path, name, value in _leaves(obj.data, "", ""):
        if path.startswith(("data", "stringData", "metadata")):
            continue
        if name in ALLOWED and value not in ALLOWED[name]:
            yield Problem(path, f"{value!r} is no {name}", f"use one of {sorted(ALLOWED[name])}")
        if name in POSITIVE and isinstance(value, int) and value < 1:
            yield Problem(path, f"is {value}", "set 1 or more")
        if name == "policyTypes" and value not in {"Ingress", "Egress"}:
            yield Problem(path, f"{value!r} is no direction", "use Ingress and Egress")
        if name == "fieldPath" and value not in FIELD_PATHS and not str(value).startswith("metadata."):
            yield Problem(path, f"{value!r} is no field of a pod", f"use one of {sorted(FIELD_PATHS)}")
    yield from _kind_problems(obj)
    yield from _role_problems(obj)
    yield from _range_problems(obj)


def _kind_problems(obj: Obj) -> Problems:
    if obj.kind == "CronJob" and len(str(obj.spec.get("schedule")).split()) != 5:
        yield Problem(
            "spec.schedule", f"{obj.spec.get('schedule')!r} has not five fields", "minute hour day month weekday"
        )
    if obj.kind == "CronJob" and not set(str(obj.spec.get("schedule"))) <= set("0123456789*/,- "):
        yield Problem("spec.schedule", f"{obj.spec.get('schedule')!r} is no schedule", "minute hour day month weekday")
    kind = dig(obj.spec, "strategy", "type")
    if obj.kind == "Deployment" and kind not in {None, "RollingUpdate", "Recreate"}:
        yield Problem("spec.strategy.type", f"{kind} is no strategy", "use RollingUpdate")
    if obj.kind == "PersistentVolume" and not any(
        isinstance(v, dict) for k, v in obj.spec.items() if k not in NO_SOURCE
    ):
        yield Problem("spec", "has no source", "say where the volume's files are, such as nfs or csi")


def _range_problems(obj: Obj) -> Problems:
    for limits in trees(obj.spec.get("limits")) if obj.kind == "LimitRange" else ():
        if limits.get("type") not in {"Container", "Pod", "PersistentVolumeClaim"}:
            yield Problem("spec.limits[].type", f"{limits.get('type')} is no type", "use Container")
        for key, wanted in tree(limits.get("defaultRequest")).items():
            most = quantity(dig(limits, "default", key)) or quantity(dig(limits, "max", key))
            if most is not None and (quantity(wanted) or 0) > most:
                yield Problem(f"spec.limits[].defaultRequest.{key}", f"{wanted} is above the default limit", "lower it")


def _role_problems(obj: Obj) -> Problems:
    ref = tree(obj.data.get("roleRef"))
    if ref and ref.get("apiGroup", "rbac.authorization.k8s.io") != "rbac.authorization.k8s.io":
        yield Problem("roleRef.apiGroup", f"is {ref['apiGroup']}", "use rbac.authorization.k8s.io")
    if ref and ref.get("kind") not in {"Role", "ClusterRole"}:
        yield Problem("roleRef.kind", f"is {ref.get('kind')}", "use Role or ClusterRole")
    for subject in trees(obj.data.get("subjects")):
        if subject.get("kind") not in {"ServiceAccount", "User", "Group"}:
            yield Problem("subjects", f"{subject.get('kind')} is no subject", "use ServiceAccount, User or Group")
        elif subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            yield Problem("subjects", "a ServiceAccount without its namespace", "name the namespace")


@rule("one-of-each", workloads, why=REFUSED)
def _one_of_each(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for name, volume in workload.volumes.items():
        if len(volume) != 2:
            yield Problem(f"{workload.prefix}.volumes[{name}]", f"has {len(volume) - 1} sources", "give it one source")
    for container in workload.all_containers:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            handlers = {"httpGet", "tcpSocket", "grpc", "exec"} & set(tree(container.data.get(probe)))
            if probe in container.data and len(handlers) != 1:
                yield Problem(f"{container.field}.{probe}", f"has {len(handlers)} handlers", "give it one handler")
        for env in trees(container.data.get("env")):
            if "valueFrom" in env and len(tree(env["valueFrom"])) != 1:
                yield Problem(f"{container.field}.env[{env.get('name')}]", "names no one source", "give it one source")
    yield from _policy_problems(workload)


def _policy_problems(workload: Workload) -> Problems:
    for each in trees(dig(workload.obj.spec, "podFailurePolicy", "rules")):
        codes = tree(each.get("onExitCodes"))
        names = {c.name for c in workload.all_containers}
        if not codes and not each.get("onPodConditions"):
            yield Problem("spec.podFailurePolicy", "a rule without exit codes or conditions", "give it one of them")
        if each.get("action") not in {"FailJob", "Ignore", "Count", "FailIndex"}:
            yield Problem("spec.podFailurePolicy", f"{each.get('action')} is no action", "use FailJob, Ignore or Count")
        if codes and (codes.get("operator") not in {"In", "NotIn"} or not codes.get("values") or 0 in codes["values"]):
            yield Problem("spec.podFailurePolicy", "no operator In or NotIn over exit codes other than 0", "correct it")
        if codes.get("containerName") not in {None, *names}:
            yield Problem(
                "spec.podFailurePolicy", f"no container {codes['containerName']}", f"use one of {sorted(names)}"
            )
