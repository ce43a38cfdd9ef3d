import re
from collections.abc import Iterator

from shakedown.lint import promql
from shakedown.lint.adapter import CUSTOM, EXTERNAL, Adapter, adapter_objects, adapters, metric_name
from shakedown.lint.objects import Obj, Tree, dig, tree, trees
from shakedown.lint.quantity import quantity, seconds
from shakedown.lint.relabel import gateway_series
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.rules.network import pod_of
from shakedown.lint.schemas import suggestion
from shakedown.lint.scrape import interval_of, known_labels
from shakedown.lint.urls import obstacles
from shakedown.lint.workload import REPLICATED, Workload
from shakedown.lint.world import World

HPA = kinds("HorizontalPodAutoscaler")
SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
    "Pods": "pods",
    "Object": "object",
}
SCALE_DOWN_S = 60  # shorter than this, the dips of a rate while pods start make the size swing


@rule("hpa-target-exists", HPA, why="an HPA without its target scales nothing, and says so only in its status")
def _hpa_target_exists(obj: Obj, world: World) -> Problems:
    ref = tree(obj.spec.get("scaleTargetRef"))
    target = world.target(obj)
    if target is None or target.kind not in REPLICATED:
        there = [str(o) for o in world.of(*REPLICATED) if o.namespace == obj.namespace]
        yield Problem(
            "spec.scaleTargetRef", f"{ref.get('kind')} {ref.get('name')} is not rendered", f"name one of {there}"
        )
    elif ref.get("apiVersion") != target.api:
        yield Problem("spec.scaleTargetRef.apiVersion", f"is {ref.get('apiVersion')}", f"set {target.api}")


@rule("one-hpa-per-target", HPA, why="two HPAs on one Deployment overwrite each other's size")
def _one_hpa_per_target(obj: Obj, world: World) -> Problems:
    target = world.target(obj)
    others = [str(h) for h in world.scalers(target) if h is not obj] if target else []
    if others:
        yield Problem(
            "spec.scaleTargetRef", f"{target} is also scaled by {', '.join(others)}", "put all metrics into one HPA"
        )


@rule(
    "replicas-left-to-hpa",
    lambda world: (o for o in world.of(*REPLICATED) if world.scalers(o)),
    why="each apply throws the scale back to the number written",
)
def _replicas_left_to_hpa(obj: Obj, world: World) -> Problems:
    if "replicas" in obj.spec:
        yield Problem(
            "spec.replicas", f"is {obj.spec['replicas']}, and {world.scalers(obj)[0]} scales it", "drop the field"
        )


@rule("hpa-has-room", HPA, why="an HPA that can't move is none, and one below two replicas is an outage at every drain")
def _hpa_has_room(obj: Obj, _world: World) -> Problems:
    fewest, most = obj.spec.get("minReplicas", 1), obj.spec.get("maxReplicas", 1)
    if fewest < 2:
        yield Problem("spec.minReplicas", f"is {fewest}", "set 2 or more")
    if most <= fewest:
        yield Problem("spec.maxReplicas", f"{most} leaves no room above {fewest}", "set more than minReplicas")
    if not trees(obj.spec.get("metrics")):
        yield Problem("spec.metrics", "is empty", "scale on CPU, or on requests per second")


@rule(
    "hpa-targets-fit", HPA, why="a target of the wrong type scales to the wrong size: Value does not divide by replicas"
)
def _hpa_targets_fit(obj: Obj, _world: World) -> Problems:
    for metric in trees(obj.spec.get("metrics")):
        kind = str(metric.get("type"))
        source = tree(metric.get(SOURCES.get(kind, "")))
        target = tree(source.get("target"))
        field = f"spec.metrics[{dig(source, 'metric', 'name') or source.get('name') or kind}].target"
        if not source:
            yield Problem(
                field, f"type {kind} without its source", f"add {SOURCES.get(kind, 'one of ' + str(sorted(SOURCES)))}"
            )
            continue
        fitting = {"Resource": {"Utilization", "AverageValue"}, "ContainerResource": {"Utilization", "AverageValue"}}
        if target.get("type") not in fitting.get(kind, {"AverageValue"}):
            yield Problem(
                field,
                f"type {target.get('type')} does not divide by replicas",
                "use AverageValue: so much for each pod",
            )
        yield from _target_values(field, source, target)


def _target_values(field: str, source: Tree, target: Tree) -> Problems:
    key = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}.get(
        str(target.get("type")), ""
    )
    value = quantity(target.get(key))
    if value is None or value <= 0:
        yield Problem(
            field, f"type {target.get('type')} without {key or 'a value'}", f"set {key or 'averageValue'} above 0"
        )
    elif key == "averageUtilization" and not 20 <= value <= 90:
        yield Problem(
            field,
            f"{value} % of the request",
            "aim for 20 to 90: above, there is no time to scale; below, it never settles",
        )
    if set(target) - {"type", key}:
        yield Problem(field, f"sets {sorted(set(target) - {'type', key})} beside {key}", f"keep {key} alone")
    if source.get("name") == "memory":
        yield Problem(field, "scales on memory, which more replicas do not lower", "scale on CPU or requests")


@rule(
    "hpa-resources-requested",
    HPA,
    why="utilisation is a share of the request: without one in every container, the HPA does nothing",
)
def _hpa_resources_requested(obj: Obj, world: World) -> Problems:
    target = world.target(obj)
    workload = world.workloads.get(target) if target else None
    for metric in trees(obj.spec.get("metrics")) if workload else []:
        name = dig(metric, "resource", "name")
        if name is not None and name not in {"cpu", "memory"}:
            yield Problem("spec.metrics", f"{name!r} is no resource that is measured", "use cpu")
        for container in workload.containers if workload and name else []:
            if container.request(str(name)) is None:
                yield Problem(
                    f"spec.metrics[{name}]", f"{container.name} of {target} requests no {name}", f"request {name} there"
                )


@rule(
    "hpa-metric-served",
    HPA,
    why="a metric that no adapter serves leaves the HPA without a number, and it stops scaling",
)
def _hpa_metric_served(obj: Obj, world: World) -> Problems:
    for metric in trees(obj.spec.get("metrics")):
        kind = str(metric.get("type"))
        if kind not in {"External", "Pods", "Object"}:
            continue
        group = EXTERNAL if kind == "External" else CUSTOM
        wanted = tree(dig(metric, SOURCES[kind], "metric"))
        field = f"spec.metrics[{wanted.get('name')}]"
        served = {name for a in adapters(world) for name in a.served(group)}
        if wanted.get("name") not in served:
            yield Problem(
                field,
                f"no adapter rule serves {wanted.get('name')!r}{suggestion(str(wanted.get('name')), served)}",
                f"served in {group}: {sorted(served)}",
            )
        if group not in {a.spec.get("group") for a in world.of("APIService")}:
            yield Problem(field, f"no APIService registers {group}", "add the adapter's APIService")
        if kind == "External":
            yield from _external_selector(obj, field, wanted, world)
        for each in (
            r for a in adapters(world) for g, r in a.rules() if g == group and metric_name(r) == wanted.get("name")
        ):
            yield from _selector_problems(field, tree(dig(wanted, "selector", "matchLabels")), each, world)
        if kind == "Pods" and dig(metric, "pods", "metric", "selector", "matchLabels", "pod"):
            yield Problem(field, "selects one pod", "drop the selector: the HPA asks for its own pods")


def _external_selector(obj: Obj, field: str, wanted: Tree, world: World) -> Problems:
    if not tree(dig(wanted, "selector", "matchLabels")):
        yield Problem(field, "selects no series: the sum over everything", "select by the labels of this workload")
    named = dig(wanted, "selector", "matchLabels", "ingress")
    if named and world.find("Ingress", obj.namespace, named) is None:
        yield Problem(field, f"no Ingress {obj.namespace}/{named} is rendered", "name the Ingress")


def _selector_problems(field: str, selector: Tree, each: Tree, world: World) -> Problems:
    try:
        found = list(promql.series(promql.parse(str(each.get("seriesQuery")))))
    except promql.PromqlError:
        return  # the rule adapter-rules-sound says so
    known = known_labels(found[0].metric, world) if found else None
    for label in selector if known is not None else []:
        if label not in (known or set()):
            yield Problem(
                field, f"selects by {label!r}, which {found[0].metric} does not have", f"it has {sorted(known or ())}"
            )


@rule(
    "hpa-metric-has-series",
    lambda world: HPA(world) if world.of("HTTPRoute") and world.of("ServiceMonitor") else (),
    why="an adapter rule over labels that no series of the gateway gets serves an empty metric",
)
def _hpa_metric_has_series(obj: Obj, world: World) -> Problems:
    for metric in trees(obj.spec.get("metrics")):
        wanted = tree(dig(metric, "external", "metric"))
        for _, each in (r for a in adapters(world) for r in a.rules() if metric_name(r[1]) == wanted.get("name")):
            name = str(each.get("seriesQuery")).partition("{")[0]
            overrides = tree(dig(each, "resources", "overrides"))
            own = {label: obj.namespace for label, of in overrides.items() if dig(of, "resource") == "namespace"}
            asked = {**own, **tree(dig(wanted, "selector", "matchLabels"))}
            series = list(gateway_series(name, world))
            if name.startswith("traefik_service_") and not any(asked.items() <= one.items() for one in series):
                yield Problem(
                    f"spec.metrics[{wanted.get('name')}]",
                    f"no series of the gateway has {asked}; they have {[_made(one) for one in series[:3]]}",
                    "make these labels in the gateway's ServiceMonitor, and ask for them",
                )


def _made(series: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in series.items() if name not in {"__name__", "service"}}


@rule("hpa-steady", HPA, why="a size that swings kills pods that have just become useful")
def _hpa_steady(obj: Obj, _world: World) -> Problems:
    for way in ("scaleUp", "scaleDown"):
        behaviour = tree(dig(obj.spec, "behavior", way))
        field = f"spec.behavior.{way}"
        default = 300 if way == "scaleDown" else 0
        window = behaviour.get("stabilizationWindowSeconds", default)
        if way == "scaleDown" and not SCALE_DOWN_S <= window <= 3600:
            yield Problem(f"{field}.stabilizationWindowSeconds", f"is {window}", f"use {SCALE_DOWN_S} to 3600")
        if way == "scaleUp" and not 0 <= window <= 120:
            yield Problem(f"{field}.stabilizationWindowSeconds", f"is {window}: users wait that long", "use 0 to 120")
        if behaviour.get("selectPolicy") == "Disabled":
            yield Problem(f"{field}.selectPolicy", "never scales that way", "use Max or Min")
        for policy in trees(behaviour.get("policies")):
            fine = (
                policy.get("type") in {"Pods", "Percent"}
                and policy.get("value", 0) > 0
                and 0 < policy.get("periodSeconds", 0) <= 1800
            )
            if not fine:
                yield Problem(
                    f"{field}.policies",
                    f"{policy} can't be followed",
                    "type Pods or Percent, value above 0, period 1 to 1800",
                )


@rule(
    "adapter-rules-sound",
    adapter_objects,
    why="a rule that finds no series serves no metric, and the HPA stops scaling",
)
def _adapter_rules_sound(obj: Obj, world: World) -> Problems:
    for adapter in (a for a in adapters(world) if a.workload.obj is obj):
        if not list(adapter.rules()):
            yield Problem(
                f"{adapter.container.field}.args",
                "no rules in the file of --config",
                "mount a ConfigMap with rules there",
            )
        names = [(group, metric_name(each)) for group, each in adapter.rules()]
        for group, name in sorted({n for n in names if names.count(n) > 1}):
            yield Problem("rules", f"{name!r} of {group} is made by two rules", "name each metric once")
        for _, each in adapter.rules():
            yield from _rule_problems(each, world)


def _rule_problems(each: Tree, world: World) -> Problems:
    field = f"rules[{metric_name(each) or '?'}]"
    if set(each) - {"seriesQuery", "seriesFilters", "resources", "name", "metricsQuery"}:
        yield Problem(
            field, f"holds unknown fields: {sorted(set(each))}", "use seriesQuery, resources, name, metricsQuery"
        )
    for key in ("seriesQuery", "metricsQuery"):
        try:
            found = list(promql.series(promql.parse(_filled(str(each.get(key, ""))))))
        except promql.PromqlError as error:
            yield Problem(f"{field}.{key}", f"does not parse: {error}", "correct the PromQL")
            continue
        for one in found:
            known = known_labels(one.metric, world)
            for label, _, _ in one.matchers if known is not None else ():
                if label not in (known or set()):
                    yield Problem(
                        f"{field}.{key}", f"{one.metric} has no label {label!r}", f"it has {sorted(known or ())}"
                    )
            if one.range_s and one.range_s < 3 * interval_of(one, world):
                yield Problem(
                    f"{field}.{key}",
                    f"a window of {one.range_s:.0f} s holds too few scrapes",
                    f"use {3 * interval_of(one, world):.0f} s or more",
                )
    yield from _query_problems(field, each)


def _filled(query: str) -> str:
    filled = query.replace("<<.Series>>", "the_series").replace("<<.LabelMatchers>>", 'namespace="n"')
    return re.sub(r",?\s*<<\.LabelMatchers>>", "", filled).replace("<<.GroupBy>>", "pod")


def _query_problems(field: str, each: Tree) -> Problems:
    query = str(each.get("metricsQuery", ""))
    if "<<.LabelMatchers>>" not in query:
        yield Problem(
            f"{field}.metricsQuery", "leaves out <<.LabelMatchers>>: every HPA gets the same number", "add it"
        )
    if "<<.Series>>" not in query:
        yield Problem(f"{field}.metricsQuery", "leaves out <<.Series>>", "add it")
    counter = re.match(r"[\w:]*(_total|_count)\b", str(each.get("seriesQuery", "")))
    if counter and "rate(" not in query and "increase(" not in query:
        yield Problem(f"{field}.metricsQuery", "takes a counter for a rate: it only ever grows", "use rate(...)")
    if "resources" not in each:
        yield Problem(
            f"{field}.resources", "is missing: no object belongs to the metric", "map namespace (and pod) to resources"
        )
    if "request_count" in str(each.get("seriesQuery")) and "tensorflow" in str(each.get("seriesQuery")):
        yield Problem(
            f"{field}.seriesQuery",
            "counts the probes of every pod too",
            "count requests where they enter: at the gateway",
        )


@rule(
    "adapter-is-set-up",
    adapter_objects,
    why="an adapter that can't reach Prometheus, or lists series every ten minutes, serves nothing in time",
)
def _adapter_is_set_up(obj: Obj, world: World) -> Problems:
    for adapter in (a for a in adapters(world) if a.workload.obj is obj):
        args = dict(_arguments(adapter))
        field = f"{adapter.container.field}.args"
        relist = seconds(args.get("metrics-relist-interval", "10m"))
        if relist is None or not 1 <= relist <= 120:
            yield Problem(
                field,
                f"lists series every {args.get('metrics-relist-interval', '10m')}",
                "--metrics-relist-interval=30s",
            )
        url = re.fullmatch(r"https?://([\w-]+)\.([\w-]+)(\.svc[\w.]*)?:?(\d*)(/.*)?", args.get("prometheus-url", ""))
        if url is None:
            yield Problem(
                field,
                "--prometheus-url names no Service",
                "--prometheus-url=http://prometheus-operated.NAMESPACE.svc:9090/",
            )
        elif not _has_service(url[1], url[2], url[4] or "80", world):
            yield Problem(
                field,
                f"no Service {url[2]}/{url[1]} with port {url[4] or 80} is rendered",
                "name the Service of Prometheus",
            )
        else:
            prefixes = {str(each.spec.get("routePrefix", "/")).rstrip("/") for each in world.of("Prometheus")}
            if prefixes and (path := (url[5] or "").rstrip("/")) not in prefixes:
                says = f"--prometheus-url asks below {path or '/'}, where no rendered Prometheus answers"
                yield Problem(field, says, f"ask below {' or '.join(sorted(each or '/' for each in prefixes))}")
            for says, mend in obstacles(args["prometheus-url"], pod_of(adapter.workload), world):
                yield Problem(field, f"--prometheus-url: {says}", mend)
        if not any(w.obj is obj for s in world.of("APIService") for w in _behind(s, world)):
            yield Problem("metadata.name", "no APIService leads to it", "register custom or external metrics")


def _arguments(adapter: Adapter) -> Iterator[tuple[str, str]]:
    for word in adapter.container.command_line:
        name, _, value = word.lstrip("-").partition("=")
        yield name, value


def _has_service(name: str, namespace: str, port: str, world: World) -> bool:
    service = world.find("Service", namespace, name)
    if service is not None:
        return any(str(p.get("port")) == port for p in trees(service.spec.get("ports")))
    return (
        name == "prometheus-operated"
        and port == "9090"
        and any(p.namespace == namespace for p in world.of("Prometheus"))
    )


def _behind(api: Obj, world: World) -> list[Workload]:
    ref = tree(api.spec.get("service"))
    service = world.find("Service", str(ref.get("namespace")), ref.get("name"))
    return world.backends(service) if service else []
