import re
from collections.abc import Iterable, Iterator

from shakedown.lint.objects import Json, Obj, Tree, dig, matches, tree, trees
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.scrape import operated_pods
from shakedown.lint.server import METRICS_PATH, Server
from shakedown.lint.workload import REPLICATED, Workload
from shakedown.lint.world import World

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
STATUS = re.compile(r"/v1/models/([^/:]+)(/versions/\d+|/labels/[^/:]+)?(/metadata)?")
# a model of a few hundred megabytes loads in this time; a shorter start-up budget restarts it for ever
STARTUP_S = 30
# the server ignores SIGTERM, so preStop must outlast the withdrawal of the endpoint
DRAIN_S = 5


def servers(world: World) -> Iterable[Obj]:
    """Workloads that run the model server."""
    return world.servers


def stable(world: World) -> Iterable[Obj]:
    """Model servers that users depend on: replicated, and no canary."""
    return (obj for obj in world.stable_servers if obj.kind in REPLICATED)


@rule(
    "probes-present",
    servers,
    why="without probes, traffic goes to pods that can't answer and dead ones are never restarted",
)
def _probes_present(obj: Obj, world: World) -> Problems:
    container = world.servers[obj].container
    for probe in PROBES:
        late = probe == "startupProbe" and dig(container.data, "livenessProbe", "initialDelaySeconds")
        if not container.data.get(probe) and not late:
            yield Problem(f"{container.field}.{probe}", "is missing", "add it")


def asked_otherwise(world: World) -> Iterable[Obj]:
    """Replicated workloads behind a Service that are no model servers."""
    return (o for o in world.workloads if o.kind in REPLICATED and o not in world.servers and world.services_of(o))


@rule(
    "asked-when-ready",
    asked_otherwise,
    why="a Service sends to a pod without a readiness probe before its program listens",
)
def _asked_when_ready(obj: Obj, world: World) -> Problems:
    if not any(container.data.get("readinessProbe") for container in world.workloads[obj].containers):
        yield Problem(f"{world.workloads[obj].prefix}.containers", "have no readinessProbe", "add one")


@rule(
    "probes-differ",
    servers,
    why="a liveness probe as strict as readiness restarts every replica at once when the store stalls",
)
def _probes_differ(obj: Obj, world: World) -> Problems:
    container = world.servers[obj].container
    ready, alive = (tree(container.data.get(p)) for p in ("readinessProbe", "livenessProbe"))
    if ready and alive and _handler(ready) == _handler(alive) and _budget(alive) <= _budget(ready):
        yield Problem(
            f"{container.field}.livenessProbe",
            "asks what readiness asks, and gives up as soon",
            "look at the port alone, or allow more failures than readiness",
        )
    if alive and _budget(alive) < 10:
        yield Problem(
            f"{container.field}.livenessProbe", f"restarts after {_budget(alive)} s", "allow at least 10 s of failures"
        )
    for name, probe, most in (("readinessProbe", ready, 60), ("livenessProbe", alive, 300)):
        if probe and _budget(probe) > most:
            says = f"notices after {_budget(probe)} s"
            yield Problem(f"{container.field}.{name}", says, f"allow {most} s at the most: period x failures")
    if ready and ready.get("successThreshold", 1) < 1:
        yield Problem(f"{container.field}.readinessProbe.successThreshold", "is below 1", "set 1 or more")


def _handler(probe: Tree) -> Tree:
    return {key: probe[key] for key in ("httpGet", "tcpSocket", "grpc", "exec") if key in probe}


def _budget(probe: Tree) -> int:
    return int(probe.get("periodSeconds", 10)) * int(probe.get("failureThreshold", 3))


@rule(
    "probes-get-answers",
    servers,
    why="a probe that asks where nothing answers keeps every pod out of service, or restarts it for ever",
)
def _probes_get_answers(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    for name in PROBES:
        probe = tree(server.container.data.get(name))
        if probe:
            yield from (
                Problem(f"{server.container.field}.{name}", *each) for each in _probe_problems(server, probe, world)
            )


def _probe_problems(server: Server, probe: Tree, world: World) -> Iterator[tuple[str, str]]:
    if not _handler(probe):
        yield "has no handler", "set httpGet, tcpSocket, grpc or exec"
    for kind in ("httpGet", "tcpSocket", "grpc"):
        port = dig(probe, kind, "port")
        if kind in probe:
            number = server.container.port_number(port)
            fitting = {"httpGet": {server.rest_port}, "grpc": {server.grpc_port}}
            if number not in fitting.get(kind, {server.rest_port, server.grpc_port}):
                yield (
                    f"{kind} asks port {port}; the server has gRPC on {server.grpc_port}, REST on {server.rest_port}",
                    "correct it",
                )
    if "httpGet" in probe:
        yield from _path_problems(server, str(dig(probe, "httpGet", "path") or "/"), world)
        if dig(probe, "httpGet", "scheme") == "HTTPS":
            yield "asks over HTTPS, and REST is clear text", "use the scheme HTTP"
    if probe.get("timeoutSeconds", 1) > probe.get("periodSeconds", 10):
        yield "waits longer than its period", "keep timeoutSeconds at or below periodSeconds"
    for key in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
        if probe.get(key, 1) < 1:
            yield f"{key} is below 1", "set 1 or more"


def _path_problems(server: Server, path: str, world: World) -> Iterator[tuple[str, str]]:
    names = world.model_names(server)
    found = STATUS.fullmatch(path)
    if path != METRICS_PATH and not found:
        yield f"asks {path}, which the server answers with 404", f"ask /v1/models/{next(iter(names), 'NAME')}"
    elif found and names and found[1] not in names:
        yield f"asks for model {found[1]!r}; the server has {sorted(names)}", f"ask /v1/models/{min(names)}"


@rule("start-up-has-time", servers, why="a start-up budget shorter than loading a model restarts the server for ever")
def _start_up_has_time(obj: Obj, world: World) -> Problems:
    container = world.servers[obj].container
    probe = tree(container.data.get("startupProbe"))
    allowed = _budget(probe) + int(probe.get("initialDelaySeconds", 0))
    if allowed > 1200:
        yield Problem(f"{container.field}.startupProbe", f"allows {allowed} s", "allow 20 minutes at the most")
    if probe and allowed < STARTUP_S:
        yield Problem(
            f"{container.field}.startupProbe", f"allows {allowed} s", f"allow {STARTUP_S} s or more: period x failures"
        )


@rule("replicas-survive-a-node", stable, why="one replica is an outage at every node drain, crash and roll-out")
def _replicas_survive_a_node(obj: Obj, world: World) -> Problems:
    if world.fewest(obj) < 2:
        yield Problem(
            "spec.replicas",
            f"may be {world.fewest(obj)}",
            "run at least 2, in the HPA's minReplicas where there is one",
        )


@rule("spread-over-nodes", stable, why="replicas on one node go down together")
def _spread_over_nodes(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    spreads = trees(workload.pod.get("topologySpreadConstraints"))
    anti = tree(dig(workload.pod, "affinity", "podAntiAffinity"))
    terms = trees(anti.get("requiredDuringSchedulingIgnoredDuringExecution"))
    terms += [
        tree(t.get("podAffinityTerm")) for t in trees(anti.get("preferredDuringSchedulingIgnoredDuringExecution"))
    ]
    if not spreads and not terms:
        field = f"{workload.prefix}.topologySpreadConstraints"
        yield Problem(field, "nothing spreads the replicas", "spread over kubernetes.io/hostname")
    for each in [*spreads, *terms]:
        selector, key = each.get("labelSelector"), str(each.get("topologyKey"))
        if not tree(selector) or not matches(selector, workload.labels):
            yield Problem(
                f"{workload.prefix}.topologySpreadConstraints",
                "counts other pods than its own",
                "select the pod's labels",
            )
        if key not in {"kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region"}:
            yield Problem(
                f"{workload.prefix}.topologySpreadConstraints", f"no node carries {key}", "use kubernetes.io/hostname"
            )
        if not 1 <= each.get("maxSkew", 1) <= 5:
            yield Problem(f"{workload.prefix}.topologySpreadConstraints", "maxSkew is out of reason", "set 1")
        if each.get("whenUnsatisfiable", "DoNotSchedule") not in {"DoNotSchedule", "ScheduleAnyway"}:
            yield Problem(
                f"{workload.prefix}.topologySpreadConstraints", "whenUnsatisfiable is unknown", "use ScheduleAnyway"
            )


@rule("drain-budget-exists", stable, why="without a PodDisruptionBudget a node drain may evict every replica at once")
def _drain_budget_exists(obj: Obj, world: World) -> Problems:
    budgets = _budgets(world.workloads[obj], world)
    if not budgets:
        yield Problem("metadata.name", "no PodDisruptionBudget selects its pods", "add one with maxUnavailable: 1")
    if len(budgets) > 1:
        yield Problem(
            "metadata.name", f"{len(budgets)} budgets select its pods: eviction is refused", "keep one of them"
        )


def _budgets(workload: Workload, world: World) -> list[Obj]:
    found = (b for b in world.of("PodDisruptionBudget") if b.namespace == workload.namespace)
    return [b for b in found if "selector" in b.spec and matches(b.spec["selector"], workload.labels)]


@rule(
    "drain-budget-leaves-room",
    kinds("PodDisruptionBudget"),
    why="a budget that allows no disruption blocks every node drain",
)
def _drain_budget_leaves_room(obj: Obj, world: World) -> Problems:
    guarded = list(_guarded(obj, world))
    if not guarded:
        yield Problem("spec.selector", "selects no pods", "select the labels of the pods that it guards")
    if len(guarded) > 1:
        yield Problem(
            "spec.selector", f"guards {len(guarded)} workloads as if they were one", "give each its own budget"
        )
    for guarded_obj, fewest in guarded:
        keep = _count(obj.spec.get("minAvailable"), fewest)
        lose = _count(obj.spec.get("maxUnavailable"), fewest)
        if keep is not None and keep >= fewest:
            yield Problem(
                "spec.minAvailable", f"keeps {keep} of {fewest} pods of {guarded_obj}", "use maxUnavailable: 1"
            )
        if lose is not None and lose < 1:
            yield Problem("spec.maxUnavailable", f"lets none of {fewest} pods of {guarded_obj} go", "use 1")
        if keep == 0 or (lose is not None and fewest > 1 and lose >= fewest):
            yield Problem("spec", f"lets all {fewest} pods of {guarded_obj} go at once", "use maxUnavailable: 1")
    if "minAvailable" not in obj.spec and "maxUnavailable" not in obj.spec:
        yield Problem("spec", "sets neither bound", "use maxUnavailable: 1")
    if "minAvailable" in obj.spec and "maxUnavailable" in obj.spec:
        yield Problem("spec", "sets both bounds, which is refused", "use maxUnavailable: 1 alone")


def _guarded(budget: Obj, world: World) -> Iterator[tuple[Obj, int]]:
    """What a budget guards, and the fewest pods of it."""
    selector = budget.spec.get("selector")
    for workload in world.selected_workloads(budget.namespace, selector):
        if workload.obj.kind in REPLICATED:
            yield workload.obj, world.fewest(workload.obj)
    for instance, pod in operated_pods(world):
        if pod.namespace == budget.namespace and matches(selector, pod.labels):
            yield instance, instance.spec.get("replicas", 1)


def _count(bound: Json, total: int) -> int | None:
    """A bound as pods; percentages round up, as Kubernetes does."""
    if isinstance(bound, str) and re.fullmatch(r"\d+%", bound):
        return -(-int(bound[:-1]) * total // 100)
    return bound if isinstance(bound, int) else None


@rule("roll-out-keeps-serving", stable, why="a roll-out that stops pods before others are ready loses requests")
def _roll_out_keeps_serving(obj: Obj, world: World) -> Problems:
    strategy = tree(obj.spec.get("strategy"))
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        yield Problem("spec.strategy.type", f"{strategy['type']} stops all pods first", "use RollingUpdate")
    rolling, fewest = tree(strategy.get("rollingUpdate")), world.fewest(obj)
    surge = _count(rolling.get("maxSurge", "25%"), fewest)
    gone = rolling.get("maxUnavailable", "25%")
    lost = int(gone[:-1]) * fewest // 100 if isinstance(gone, str) and gone.endswith("%") else gone
    if lost == 0 and surge == 0:
        yield Problem("spec.strategy.rollingUpdate", "neither adds nor removes a pod: no roll-out", "set maxSurge: 1")
    if isinstance(lost, int) and lost > 0:
        yield Problem("spec.strategy.rollingUpdate.maxUnavailable", f"lets {lost} of {fewest} pods go first", "set 0")
    if not isinstance(lost, int) or surge is None:
        yield Problem(
            "spec.strategy.rollingUpdate", "holds no number or percentage", "set maxUnavailable: 0, maxSurge: 1"
        )


@rule(
    "drains-before-exit",
    servers,
    why="the server ignores SIGTERM (tensorflow/serving#1853): requests fail while endpoints still name the pod",
)
def _drains_before_exit(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    stop = tree(dig(server.container.data, "lifecycle", "preStop"))
    words = " ".join(dig(stop, "exec", "command") or [])
    slept = re.search(r"sleep (\d+)", words)
    wait = dig(stop, "sleep", "seconds") or (int(slept[1]) if slept else 0)
    grace = server.workload.pod.get("terminationGracePeriodSeconds", 30)
    if wait < DRAIN_S:
        yield Problem(f"{server.container.field}.lifecycle.preStop", f"waits {wait} s", f"sleep {DRAIN_S} s or more")
    if grace <= wait:
        yield Problem(
            f"{server.workload.prefix}.terminationGracePeriodSeconds",
            f"{grace} s end before preStop's {wait} s",
            "raise it",
        )
    if grace > 300:
        yield Problem(
            f"{server.workload.prefix}.terminationGracePeriodSeconds",
            f"{grace} s hold up every drain",
            "use at most 300",
        )
