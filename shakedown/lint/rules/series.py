"""Series on their way from an exporter to whoever reads them: relabelings, labels of probes, dashboards."""

import json
import re
from collections.abc import Iterable, Iterator

import promql_parser as pq

from shakedown.lint import promql
from shakedown.lint.objects import Obj, Tree, dig, tree, trees
from shakedown.lint.relabel import relabelled
from shakedown.lint.rule import Problem, Problems, rule
from shakedown.lint.rules.alerts import expressions
from shakedown.lint.scrape import (
    KUBELET,
    MONITORS,
    endpoints,
    known_labels,
    of_known_family,
    operated_services,
    services,
)
from shakedown.lint.world import World

KEEPING, LABELS = {"keep", "drop"}, {"labeldrop", "labelkeep"}
FIELD = "metricRelabelings"
# what Grafana puts in a variable's place, as far as an expression needs it to parse
VARIABLE = re.compile(r"\$\{?\w+(?::\w+)?\}?")
DASHBOARD = "grafana_dashboard"  # the label by which Grafana's sidecar finds one


def relabelling(world: World) -> Iterable[Obj]:
    """Monitors and probes that change or choose what they scrape."""
    return (o for o in world.of(*MONITORS, "Probe") if any(relabelings(o)))


def relabelings(obj: Obj) -> Iterator[list[Tree]]:
    """The relabelings of each endpoint of a monitor, or of a probe."""
    for each in endpoints(obj) if obj.kind != "Probe" else [obj.spec]:
        yield trees(each.get(FIELD))


@rule(
    "relabelings-are-legal",
    relabelling,
    why="the operator leaves out a monitor with a relabeling that Prometheus refuses, and its log alone says so",
)
def _relabelings_are_legal(obj: Obj, _world: World) -> Problems:
    for each in (one for some in relabelings(obj) for one in some):
        action = str(each.get("action", "replace")).lower()
        if action in KEEPING and not (each.get("regex") and each.get("sourceLabels")):
            yield Problem(FIELD, "keeps or drops without regex and sourceLabels", "name both")
        if action == "replace" and not each.get("targetLabel"):
            yield Problem(FIELD, "replaces no label", "name its targetLabel, or the action that is meant")
        if action in LABELS and (not each.get("regex") or {"sourceLabels", "targetLabel"} & set(each)):
            yield Problem(FIELD, f"{action} takes a regex of names and nothing else", "correct it")


def read(world: World) -> set[str]:
    """Every metric that a rule of Prometheus reads."""
    return {s.metric for o in world.of("PrometheusRule") for e in expressions(o) for s in promql.series(e.expr)}


@rule("read-series-are-kept", relabelling, why="what a monitor drops is never there: the alert on it never fires")
def _read_series_are_kept(obj: Obj, world: World) -> Problems:
    prefix, labels = _brings(obj, world)
    for metric in sorted(m for m in read(world) if prefix and m.startswith(prefix)):
        made = [{"__name__": metric, **each} for each in labels]
        if not any(relabelled(one, some) for one in made for some in relabelings(obj)):
            yield Problem(FIELD, f"drops {metric}, which a rule reads", "keep it")


def _brings(obj: Obj, world: World) -> tuple[str, list[dict[str, str]]]:
    """How the metrics of a monitor's targets begin, and labels that theirs have; empty where that isn't known."""
    if obj.kind == "Probe":
        return "probe_", [{}]
    found = services(obj, world) if obj.kind == "ServiceMonitor" else []
    if KUBELET in found:
        servers = world.servers.values()
        return "container_", [{"namespace": s.workload.namespace, "container": s.container.name} for s in servers]
    made = {(s.namespace, s.name) for s in operated_services(world)}
    names = [s.name.removesuffix("-operated") for s in found if (s.namespace, s.name) in made]
    return (f"{names[0]}_", [{}]) if names else ("", [])


def read_probes(world: World) -> Iterable[Obj]:
    """Probes, where any rule reads one."""
    return world.of("Probe") if any(metric.startswith("probe_") for metric in read(world)) else ()


@rule("probes-are-read", read_probes, why="a probe that no alert reads finds the outage and tells nobody")
def _probes_are_read(obj: Obj, world: World) -> Problems:
    job = str(obj.spec.get("jobName") or f"probe/{obj.namespace}/{obj.name}")
    own = tree(dig(obj.spec, "targets", "staticConfig", "labels"))
    found = [e.expr for o in world.of("PrometheusRule") for e in expressions(o)]
    asked = [s for e in found for s in promql.series(e) if s.metric.startswith("probe_")]
    if not any(s.equal("job") in {None, job} for s in asked):
        yield Problem("spec.jobName", f"no rule reads a probe of job {job!r}", "name a job that one reads")
    for label in sorted({name for e in found for name in _grouped(e)} - {"job", "instance"} - set(own)):
        yield Problem(
            "spec.targets.staticConfig.labels", f"lack {label!r}, by which a rule tells probes apart", "add it"
        )
    if "namespace" in own and str(own["namespace"]) not in world.namespaces:
        yield Problem(
            "spec.targets.staticConfig.labels.namespace", f"{own['namespace']} is not rendered", "name the target's"
        )


def _grouped(expr: pq.Expr) -> Iterator[str]:
    """The labels by which an expression groups the series of probes."""
    for each in (e for e in promql.walk(expr) if isinstance(e, pq.AggregateExpr)):
        if any(s.metric.startswith("probe_") for s in promql.series(each.expr)):
            modifier = each.modifier
            yield from modifier.labels if modifier and modifier.type == pq.AggModifierType.By else ()


def dashboards(world: World) -> Iterable[Obj]:
    """ConfigMaps that Grafana finds."""
    return (o for o in world.of("ConfigMap") if DASHBOARD in o.labels)


@rule(
    "dashboards-read-what-is-there",
    dashboards,
    why="a panel over a series that is not there is empty, when somebody looks at last",
)
def _dashboards_read_what_is_there(obj: Obj, world: World) -> Problems:
    files = tree(obj.data.get("data"))
    if not files:
        yield Problem("data", "holds no dashboard", "add its JSON")
    recorded = {e.name for o in world.of("PrometheusRule") for e in expressions(o) if "record" in e.data}
    for name, text in files.items():
        try:
            found = json.loads(str(text))
        except ValueError as error:
            yield Problem(f"data[{name}]", f"is no JSON: {error}", "correct it")
            continue
        queries = list(_queries(found))
        if not queries:
            yield Problem(f"data[{name}]", "shows no series", "give a panel its targets")
        for panel in trees(tree(found).get("panels")):
            asks = [target.get("expr") for target in trees(panel.get("targets"))]
            if dig(panel, "datasource", "type") == "prometheus" and not (asks and all(asks)):
                yield Problem(
                    f"data[{name}]", f"panel {panel.get('title')!r} has a target without expr", "ask a series"
                )
        for query in queries:
            yield from (
                Problem(f"data[{name}]", says, "correct it") for says in _query_problems(query, recorded, world)
            )


def _queries(value: object) -> Iterator[str]:
    """Every expression of a dashboard, at whatever depth."""
    if isinstance(value, list):
        for item in value:
            yield from _queries(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "expr":
                yield str(item)
            else:
                yield from _queries(item)


def _query_problems(query: str, recorded: set[str], world: World) -> Iterator[str]:
    try:
        found = list(promql.series(promql.parse(VARIABLE.sub("5m", query))))
    except promql.PromqlError as error:
        yield f"{query!r} does not parse: {error}"
        return
    for metric in (s.metric for s in found):
        own = ":" in metric and not metric.startswith(":")
        known = metric in recorded or known_labels(metric, world) is not None
        if (own or of_known_family(metric)) and world.of("PrometheusRule") and not known:
            yield f"reads {metric}, which nobody {'records' if own else 'exports'}"
