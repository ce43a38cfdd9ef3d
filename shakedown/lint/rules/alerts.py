import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

import promql_parser as pq
import yaml

from shakedown.lint import promql, promtool
from shakedown.lint.objects import Obj, Tree, dig, tree, trees
from shakedown.lint.quantity import quantity, seconds
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.schemas import suggestion
from shakedown.lint.scrape import MONITORS, OWN_LABELS, interval_of, jobs, known_labels, monitored, of_known_family
from shakedown.lint.world import World

RULES = kinds("PrometheusRule")
SCRAPES = 3  # a rate's window holds this many, so that one lost scrape leaves two samples
FEWEST_S, MOST_S = 15, 3600  # of `for`: shorter wakes people for one bad scrape, longer is too late
USUAL_JOBS = {"kubelet", "kube-state-metrics", "node-exporter", "apiserver"}
STATUSES = {
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}  # fmt: skip


class Expression(NamedTuple):
    """One rule of a group: its name, what it holds, and its parsed expression."""

    name: str
    data: Tree
    expr: pq.Expr

    @property
    def field(self) -> str:
        """Where the rule stands in its object."""
        return f"spec.groups[].rules[{self.name}]"


def expressions(obj: Obj) -> Iterator[Expression]:
    """The rules of a PrometheusRule whose expression parses; promtool speaks of the others."""
    for each in (r for g in trees(obj.spec.get("groups")) for r in trees(g.get("rules"))):
        try:
            parsed = promql.parse(str(each.get("expr")))
        except promql.PromqlError:
            continue
        yield Expression(str(each.get("alert") or each.get("record")), each, parsed)


def alerts(world: World) -> Iterator[Expression]:
    """Every alert of every PrometheusRule."""
    return (e for obj in world.of("PrometheusRule") for e in expressions(obj) if "alert" in e.data)


def servers(world: World) -> Iterable[Obj]:
    """Model servers, where alerts are rendered at all."""
    return world.stable_servers if world.of("PrometheusRule") else ()


@rule("rules-parse", RULES, why="Prometheus refuses the whole file, and keeps evaluating the old rules")
def _rules_parse(obj: Obj, world: World) -> Problems:
    said = promtool.check(world.tools.promtool, obj)
    if said:
        yield Problem("spec.groups", f"promtool: {said}", "correct the rule that it names")
    if not list(expressions(obj)):
        yield Problem("spec.groups", "holds no rule", "add rules, or drop the object")


@rule(
    "rules-pass-their-tests",
    RULES,
    why="an alert is right when it fires in the case that it was written for, and only there",
)
def _rules_pass_their_tests(obj: Obj, world: World) -> Problems:
    rules = world.of("PrometheusRule")  # alerts read what others record
    tested = "".join(test.read_text(encoding="utf-8") for test in world.tools.unit_tests)
    refused = any(promtool.check(world.tools.promtool, each) for each in rules)  # rules-parse says what is wrong
    for test in world.tools.unit_tests if not refused else ():
        said = promtool.unit_test(world.tools.promtool, rules, test)
        if said:
            yield Problem(
                "spec.groups", f"{test.name}: {said}", "correct the rule, or the test where the rule is right"
            )
    for each in expressions(obj) if world.tools.unit_tests else ():
        if "alert" in each.data and not re.search(rf"alertname: *{re.escape(each.name)}\b", tested):
            yield Problem(each.field, "no unit test names it", "add a case where it fires and one where it does not")


@rule(
    "alerts-are-complete",
    RULES,
    why="an alert that fires at one bad scrape, or says neither how bad nor what, is ignored when it matters",
)
def _alerts_are_complete(obj: Obj, world: World) -> Problems:
    grid = [s for p in world.of("Prometheus") if (s := seconds(dig(p.spec, "evaluationInterval")))]
    for each in (e for e in expressions(obj) if "alert" in e.data):
        wait = seconds(each.data.get("for", "0s"))
        if "for" not in each.data and is_watchdog(each):
            pass  # it fires always, and there is no bad scrape to wait out
        elif wait is None or not FEWEST_S <= wait <= MOST_S:
            yield Problem(f"{each.field}.for", f"is {each.data.get('for', 'missing')}", f"wait {FEWEST_S} s to an hour")
        elif grid and wait % max(grid):
            yield Problem(
                f"{each.field}.for",
                f"{wait:.0f} s is no multiple of the evaluation interval",
                "it rounds up: write a multiple",
            )
        if dig(each.data, "labels", "severity") not in {"critical", "page", "warning", "info"}:
            yield Problem(f"{each.field}.labels.severity", "is missing or unknown", "set critical, warning or info")
        for note in ("summary", "description"):
            if not dig(each.data, "annotations", note):
                yield Problem(f"{each.field}.annotations.{note}", "is missing", "say what is wrong and where to look")
    names = [e.name for e in alerts(world)]
    for name in sorted({e.name for e in expressions(obj) if names.count(e.name) > 1}):
        yield Problem(f"spec.groups[].rules[{name}]", "two alerts have this name", "name each alert once")


def is_watchdog(each: Expression) -> bool:
    """Whether an expression reads nothing that is measured, so that its alert fires always and on purpose."""
    return not list(promql.series(each.expr))


@rule("alerts-compare", RULES, why="an alert without a comparison fires for every series that exists")
def _alerts_compare(obj: Obj, _world: World) -> Problems:
    for each in (e for e in expressions(obj) if "alert" in e.data):
        calls = {e.func.name for e in promql.walk(each.expr) if isinstance(e, pq.Call)}
        ops = {str(e.op) for e in promql.walk(each.expr) if isinstance(e, pq.BinaryExpr)}
        if (
            not is_watchdog(each)
            and not ops & {">", ">=", "<", "<=", "==", "!="}
            and not calls & {"absent", "absent_over_time"}
        ):
            yield Problem(f"{each.field}.expr", "compares with nothing", "add a threshold")


@rule(
    "labels-are-on-the-series",
    RULES,
    why="a selector by a label or value that no series has selects nothing: the alert never fires",
)
def _labels_are_on_the_series(obj: Obj, world: World) -> Problems:
    for each in expressions(obj):
        for one in promql.series(each.expr):
            known = known_labels(one.metric, world)
            for label, op, value in one.matchers:
                if known is not None and label not in known:
                    yield Problem(
                        f"{each.field}.expr", f"{one.metric} has no label {label!r}", f"it has {sorted(known)}"
                    )
                yield from (Problem(f"{each.field}.expr", *p) for p in _value_problems(one, label, op, value, world))
        for aggregate in (e for e in promql.walk(each.expr) if isinstance(e, pq.AggregateExpr)):
            yield from _grouping_problems(each, aggregate, world)


def _value_problems(one: promql.Series, label: str, op: str, value: str, world: World) -> Iterator[tuple[str, str]]:
    values = _values(one, label, world)
    if values is None or op not in {"=", "=~"}:
        return
    if op == "=" and value not in values:
        yield f"{one.metric}{{{label}={value!r}}} matches no series", f"{label} can be {sorted(values)}"
    if op == "=~" and not any(_full_match(value, v) for v in values):
        yield f"{one.metric}{{{label}=~{value!r}}} matches no series", f"{label} can be {sorted(values)}"


def _full_match(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True  # RE2 knows forms that Python's re does not; promtool judges those


def _values(one: promql.Series, label: str, world: World) -> set[str] | None:
    """The values that a label can have; None where that can't be known from what is rendered."""
    monitors = world.of(*MONITORS)
    if label == "job" and monitors:
        probes = {str(p.spec.get("jobName") or f"probe/{p.namespace}/{p.name}") for p in world.of("Probe")}
        return USUAL_JOBS | probes | {job for m in monitors for job in jobs(m, world)}
    if label == "container" and one.metric.startswith("container_"):
        return {"", *(c.name for w in world.workloads.values() for c in w.all_containers)}
    if label == "namespace":
        return set(world.namespaces)
    if label == "model_name" and one.metric.startswith(":tensorflow"):
        return {name for s in world.servers.values() for name in world.model_names(s)} or None
    if label == "status" and one.metric.startswith(":tensorflow"):
        return STATUSES
    return None


def _grouping_problems(each: Expression, aggregate: pq.AggregateExpr, world: World) -> Problems:
    inside = [known_labels(s.metric, world) for s in promql.series(aggregate.expr)]
    modifier = aggregate.modifier
    if modifier is None or not inside or None in inside:
        return
    known = set.union(*(k for k in inside if k is not None))
    for label in modifier.labels:
        if label not in known:
            yield Problem(
                f"{each.field}.expr", f"groups by {label!r}, which the series do not have", f"they have {sorted(known)}"
            )


@rule("metrics-exist", RULES, why="an expression over a metric that nobody exports is silent for ever")
def _metrics_exist(obj: Obj, world: World) -> Problems:
    recorded = {e.name for o in world.of("PrometheusRule") for e in expressions(o) if "record" in e.data}
    for each in expressions(obj):
        for one in promql.series(each.expr):
            known = known_labels(one.metric, world) is not None or one.metric in recorded
            if of_known_family(one.metric) and not known:
                hint = suggestion(one.metric, OWN_LABELS)
                yield Problem(f"{each.field}.expr", f"nobody exports {one.metric}{hint}", "use the exporter's name")


@rule(
    "windows-hold-scrapes",
    RULES,
    why="a rate over fewer than two samples is empty, and one lost scrape silences the alert",
)
def _windows_hold_scrapes(obj: Obj, world: World) -> Problems:
    for each in expressions(obj):
        for one in (s for s in promql.series(each.expr) if s.range_s):
            least = SCRAPES * interval_of(one, world)
            if one.range_s < least:
                yield Problem(
                    f"{each.field}.expr",
                    f"[{one.range_s:.0f}s] with a scrape each {least / SCRAPES:.0f} s",
                    f"use [{least:.0f}s] or more",
                )
            wait = seconds(each.data.get("for", "0s")) or 0
            if "alert" in each.data and one.range_s > max(3600.0, 10 * wait):
                yield Problem(
                    f"{each.field}.expr", f"[{one.range_s:.0f}s] answers long after the fact", "shorten the window"
                )
            if (
                not set(one.inside) & {"rate", "increase", "irate"}
                and one.metric.endswith(("_total", "_count", "_bucket"))
                and "absent_over_time" not in one.inside
            ):
                yield Problem(f"{each.field}.expr", f"takes the counter {one.metric} as it is", "use rate(...)")
        for one in (s for s in promql.series(each.expr) if not s.range_s and "absent" not in s.inside):
            if one.metric.endswith(("_total", "_bucket")) or one.metric == ":tensorflow:serving:request_count":
                yield Problem(
                    f"{each.field}.expr", f"takes the counter {one.metric} as it is: it only grows", "use rate(...)"
                )


@rule(
    "memory-is-the-working-set",
    RULES,
    why="usage counts page cache, which is given back; the working set is what gets a pod killed",
)
def _memory_is_the_working_set(obj: Obj, _world: World) -> Problems:
    for each in expressions(obj):
        if any(s.metric == "container_memory_usage_bytes" for s in promql.series(each.expr)):
            yield Problem(
                f"{each.field}.expr", "judges container_memory_usage_bytes", "use container_memory_working_set_bytes"
            )


@rule("thresholds-fit-limits", RULES, why="a threshold far below the limit cries wolf, one above it never fires")
def _thresholds_fit_limits(obj: Obj, world: World) -> Problems:
    for each in expressions(obj):
        for left, op, value in promql.comparisons(each.expr):
            found = list(promql.series(left))
            ratio = any("limit" in s.metric or "requests" in s.metric or "quota" in s.metric for s in found)
            for one in found:
                resource = {
                    "container_cpu_usage_seconds_total": "cpu",
                    "container_memory_working_set_bytes": "memory",
                    "container_memory_usage_bytes": "memory",
                }.get(one.metric)
                if resource and op in {">", ">="}:
                    share = [(Decimal(value), "the limit")] if ratio else list(_shares(one, resource, value, world))
                    yield from (Problem(f"{each.field}.expr", *p) for p in _share_problems(resource, value, share))


def _shares(one: promql.Series, resource: str, value: float, world: World) -> Iterator[tuple[Decimal, str]]:
    name = one.equal("container")
    for workload in world.workloads.values():
        for container in workload.containers if name else []:
            limit = quantity(container.limit(resource))
            if container.name == name and limit and one.equal("namespace") in {None, workload.namespace}:
                yield Decimal(value) / limit, f"{container.limit(resource)} of {workload.obj}"


def _share_problems(resource: str, value: float, shares: list[tuple[Decimal, str]]) -> Iterator[tuple[str, str]]:
    least = Decimal("0.6")
    if shares and all(not least <= share <= Decimal("0.99") for share, _ in shares):
        share, what = shares[0]
        yield f"{value:g} of {resource} is {float(share):.0%} of {what}", "alert at 60 to 99 % of the limit"


@rule("outage-is-seen", RULES, why="when every pod is gone there is no series left: `up == 0` can't see a total outage")
def _outage_is_seen(obj: Obj, world: World) -> Problems:
    watched = {s.equal("job") for s in _absences(world)}
    for each in (e for e in expressions(obj) if "alert" in e.data):
        for left, op, value in promql.comparisons(each.expr):
            down = (op == "==" and value == 0) or (op == "<" and value <= 1)
            for one in promql.series(left):
                if down and one.metric == "up" and not any(_selects_job(one, job) for job in watched):
                    jobs_named = {name: text for name, _, text in one.matchers}.get("job")
                    says = f"up == 0 sees no outage of all of {jobs_named}"
                    yield Problem(f"{each.field}.expr", says, "add: or absent(up{job=...})")


def _absences(world: World) -> list[promql.Series]:
    """The series whose absence some alert sees."""
    found = (s for e in alerts(world) for s in promql.series(e.expr))
    return [s for s in found if {"absent", "absent_over_time"} & set(s.inside)]


def _selects_job(one: promql.Series, job: str | None) -> bool:
    asked = [(op, value) for name, op, value in one.matchers if name == "job"]
    return all(job is not None and (job == value if op == "=" else _full_match(value, job)) for op, value in asked)


@rule("server-outage-alerts", servers, why="the one alert that must exist: the models are gone")
def _server_outage_alerts(obj: Obj, world: World) -> Problems:
    wanted = {
        job for m in world.of(*MONITORS) if any(w.obj is obj for w in monitored(m, world)) for job in jobs(m, world)
    }
    if not any(s.equal("job") in wanted for s in _absences(world)):
        yield Problem("metadata.name", f"no alert asks absent(up{{job=...}}) for {sorted(wanted)}", "add one")


@rule(
    "alertmanager-delivers",
    kinds("Alertmanager"),
    why="a route to a receiver that is not there is refused, and nobody is told of anything",
)
def _alertmanager_delivers(obj: Obj, world: World) -> Problems:
    name = obj.spec.get("configSecret", f"alertmanager-{obj.name}")
    secret = world.find("Secret", obj.namespace, name)
    if secret is None:
        yield Problem(
            "spec.configSecret",
            f"Secret {obj.namespace}/{name} is not rendered",
            "add it, with the key alertmanager.yaml",
        )
        return
    try:
        config = tree(yaml.safe_load(str(dig(secret.data, "stringData", "alertmanager.yaml") or "")))
    except yaml.YAMLError as error:
        yield Problem("spec.configSecret", f"alertmanager.yaml of {name} is no YAML: {error}", "correct it")
        return
    if not tree(config.get("route")):
        yield Problem(
            "spec.configSecret", f"{name} holds no route under alertmanager.yaml", "write route and receivers"
        )
    receivers = {str(r.get("name")): r for r in trees(config.get("receivers"))}
    for route in _routes(tree(config.get("route"))):
        if route.get("receiver") not in receivers and ("receiver" in route or route is config.get("route")):
            yield Problem(
                "spec.configSecret",
                f"a route names receiver {route.get('receiver')!r}",
                f"use one of {sorted(receivers)}",
            )
        for key, most in (("group_wait", 120), ("group_interval", 600), ("repeat_interval", 86400)):
            if key in route and not 0 < (seconds(route[key]) or 0) <= most:
                yield Problem("spec.configSecret", f"{key} is {route[key]}", f"use up to {most} s")
    yield from _receiver_problems(receivers, tree(config.get("route")))


def _routes(route: Tree) -> Iterator[Tree]:
    yield route
    for each in trees(route.get("routes")):
        yield from _routes(each)


def _receiver_problems(receivers: dict[str, Tree], route: Tree) -> Problems:
    first = tree(receivers.get(str(route.get("receiver"))))
    if first and not any(key.endswith("_configs") and each for key, each in first.items()):
        yield Problem(
            "spec.configSecret", f"receiver {first['name']!r} tells nobody", "give it a webhook, mail or chat"
        )
    for name, receiver in receivers.items():
        for hook in trees(receiver.get("webhook_configs")):
            if not re.match(r"https?://[\w.-]+", str(hook.get("url", ""))) and "url_file" not in hook:
                yield Problem("spec.configSecret", f"webhook of {name!r} has no address", "set its url")
            if hook.get("send_resolved", True) is not True:
                yield Problem(
                    "spec.configSecret", f"webhook of {name!r} never says that it is over", "drop send_resolved: false"
                )
