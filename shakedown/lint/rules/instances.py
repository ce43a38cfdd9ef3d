import re
from collections.abc import Iterable, Iterator

from shakedown.lint.objects import Obj, dig, tree, trees
from shakedown.lint.quantity import quantity, seconds
from shakedown.lint.reach import Pod
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.rules.network import API, network_of
from shakedown.lint.rules.storage import MODES
from shakedown.lint.scrape import KUBELET, OPERATED, operated_pods, operated_services, services
from shakedown.lint.urls import obstacles
from shakedown.lint.world import World

INSTANCES = kinds(*OPERATED)
KEPT = "storage.volumeClaimTemplate"
PROFILES = {"RuntimeDefault", "Localhost"}


def pod_of_instance(obj: Obj, world: World) -> Pod:
    """A pod as the operator makes it of an instance."""
    return next(pod for instance, pod in operated_pods(world) if instance is obj)


@rule(
    "instance-pods-are-let-in",
    INSTANCES,
    why="in a restricted namespace the API server refuses such pods, and only the operator's log says so",
)
def _instance_pods_are_let_in(obj: Obj, world: World) -> Problems:
    context = tree(obj.spec.get("securityContext"))
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield Problem("spec.securityContext.runAsNonRoot", "may run as root", "set runAsNonRoot: true and a runAsUser")
    level = world.namespaces.get(obj.namespace, {}).get("pod-security.kubernetes.io/enforce")
    if level == "restricted" and dig(context, "seccompProfile", "type") not in PROFILES:
        yield Problem("spec.securityContext.seccompProfile", "is not set", "set type: RuntimeDefault")


@rule("instance-account-exists", INSTANCES, why="without its ServiceAccount not one pod is made")
def _instance_account_exists(obj: Obj, world: World) -> Problems:
    account = obj.spec.get("serviceAccountName", "default")
    if account != "default" and world.find("ServiceAccount", obj.namespace, account) is None:
        yield Problem("spec.serviceAccountName", f"{account!r} is not rendered", "add it, or name one that is")


@rule(
    "instance-keeps-its-data",
    INSTANCES,
    why="history and silences that are kept in the pod are gone with it, in the very incident that takes it",
)
def _instance_keeps_its_data(obj: Obj, _world: World) -> Problems:
    storage = tree(obj.spec.get("storage"))
    if "emptyDir" in storage or "ephemeral" in storage:
        return  # said, so it is meant
    claim = tree(dig(storage, "volumeClaimTemplate", "spec"))
    if not claim:
        yield Problem("spec.storage", "names no claim", f"set {KEPT}, or emptyDir where losing it is meant")
        return
    modes = set(claim.get("accessModes") or [])
    if not modes or modes - MODES:
        yield Problem(f"spec.{KEPT}.spec.accessModes", f"{sorted(modes)} is no access mode", "use ReadWriteOnce")
    size = quantity(dig(claim, "resources", "requests", "storage"))
    if not size:
        yield Problem(f"spec.{KEPT}.spec.resources.requests.storage", "names no size", "request a size, such as 10Gi")
    most = _bytes(obj.spec.get("retentionSize"))
    if size and most and most >= size:
        yield Problem(
            "spec.retentionSize", f"{obj.spec['retentionSize']} fills the claim first", "stay below the claim"
        )


def _bytes(size: object) -> float | None:
    """A size as Prometheus writes it, in powers of 1024; None for what is not one."""
    found = re.fullmatch(r"(\d+)([KMGTPE]?)B", str(size))
    return float(quantity(f"{found[1]}{found[2]}{'i' if found[2] else ''}") or 0) if found else None


@rule(
    "scrapes-end-in-time",
    kinds("Prometheus"),
    why="Prometheus refuses a time-out longer than the interval, and does not start",
)
def _scrapes_end_in_time(obj: Obj, _world: World) -> Problems:
    interval, timeout = (seconds(obj.spec.get(f"scrape{what}")) for what in ("Interval", "Timeout"))
    if timeout is not None and timeout > (interval or 30):
        yield Problem("spec.scrapeTimeout", f"{timeout:.0f} s is longer than the interval", "shorten it")


@rule(
    "prometheus-reaches-its-sources",
    kinds("Prometheus"),
    why="a Prometheus that is cut off from discovery, the kubelets or the Alertmanager says nothing to anybody",
)
def _prometheus_reaches_its_sources(obj: Obj, world: World) -> Problems:
    own = pod_of_instance(obj, world)
    asked: list[tuple[Pod, int]] = [(API, 443), (API, 6443)]
    if any(KUBELET in services(m, world) for m in world.of("ServiceMonitor")):
        asked.append((Pod("the kubelets", address=API.address), 10250))
    for target, port in asked:
        verdict = network_of(world).reach(own, target, port)
        if not verdict.allowed:
            names = ", ".join(map(str, verdict.blocked_by))
            yield Problem("metadata.name", f"can't reach {target.name} on {port}: {names}", "allow egress to it")
    for url in dict.fromkeys([*_alerted(obj, world), *_operated_targets(world)]):
        for says, mend in obstacles(url, own, world):
            yield Problem("metadata.name", says, mend)


def _alerted(obj: Obj, world: World) -> Iterator[str]:
    """The addresses of the Alertmanagers that a Prometheus sends to."""
    for target in trees(dig(obj.spec, "alerting", "alertmanagers")):
        namespace, name = str(target.get("namespace", obj.namespace)), str(target.get("name"))
        made = (s for s in operated_services(world) if (s.namespace, s.name) == (namespace, name))
        service = world.find("Service", namespace, name) or next(made, None)
        for port in trees(service.spec.get("ports")) if service else ():
            if target.get("port") in {port.get("name"), port.get("port")}:
                yield f"http://{name}.{namespace}.svc:{port.get('port')}"


def _operated_targets(world: World) -> Iterator[str]:
    """The addresses of the instances that monitors have scraped, as their Services name them."""
    made = {(s.namespace, s.name) for s in operated_services(world)}
    for monitor in world.of("ServiceMonitor"):
        wanted = {e.get("port") for e in trees(monitor.spec.get("endpoints"))}
        for service in (s for s in services(monitor, world) if (s.namespace, s.name) in made):
            for port in (p for p in trees(service.spec.get("ports")) if p.get("name") in wanted):
                yield f"http://{service.name}.{service.namespace}.svc:{port['port']}"


def gossiping(world: World) -> Iterable[Obj]:
    """Alertmanagers of several replicas."""
    return (a for a in world.of("Alertmanager") if a.spec.get("replicas", 1) > 1)


@rule(
    "alertmanagers-reach-each-other",
    gossiping,
    why="replicas that can't tell each other what was sent page twice for everything",
)
def _alertmanagers_reach_each_other(obj: Obj, world: World) -> Problems:
    own = pod_of_instance(obj, world)
    for protocol in ("TCP", "UDP"):
        verdict = network_of(world).reach(own, own, int(OPERATED["Alertmanager"]["mesh-tcp"]), protocol)
        if not verdict.allowed:
            names = ", ".join(map(str, verdict.blocked_by))
            yield Problem("metadata.name", f"one replica can't reach another over {protocol}: {names}", "let them")
