"""One alert from its cause to the word that it is over, each stage measured and held against its ceiling."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from shakedown.ledger import Ledger
from shakedown.lint import promql
from shakedown.observe.alertmanager import Alertmanager, Delivery, Sink
from shakedown.observe.link import Unreachable
from shakedown.observe.prometheus import Alert, Labels, Prometheus, Rule
from shakedown.timing import BUSY_S, HINDSIGHT, Pace, Stage, grouping_of, lookback, stages
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually

T = TypeVar("T")
AGE_S = 1.0  # many courses run side by side, and each looks several times a second
HISTORY_S = 60.0  # before the cause, so that a series that was there already is seen as such


class Shared(Generic[T]):
    """One answer for many threads, no older than a second."""

    def __init__(self, fetch: Callable[[], T]) -> None:
        self.fetch, self.lock, self.at, self.kept = fetch, threading.Lock(), float("-inf"), list[T]()

    def __call__(self) -> T:
        """The answer, fetched anew where it is too old."""
        with self.lock:
            if time.monotonic() - self.at > AGE_S:
                self.kept, self.at = [self.fetch()], time.monotonic()
            return self.kept[0]


@dataclass(frozen=True)
class Monitoring:
    """All that watches: Prometheus, Alertmanager and the receiver; `alerts` and `deliveries` are shared answers."""

    prometheus: Prometheus
    alertmanager: Alertmanager
    sink: Sink
    ledger: Ledger
    alerts: Shared[list[Alert]] = field(init=False)
    deliveries: Shared[list[Delivery]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "alerts", Shared(self.prometheus.alerts))
        object.__setattr__(self, "deliveries", Shared(self.sink.deliveries))


@dataclass(frozen=True)
class Expected:
    """An alert that a cause must bring: its rule's name, labels that it must carry, and its exporter's lag (s)."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    lag: float = 0.0

    def fits(self, labels: Labels) -> bool:
        """Whether these labels are the alert's."""
        return labels.get("alertname", self.name) == self.name and self.labels.items() <= labels.items()


@dataclass(frozen=True)
class Measured:
    """One stage as it came out, in seconds."""

    stage: Stage
    seconds: float

    def __str__(self) -> str:
        return f"{self.stage.name} {self.seconds:.1f} ({self.stage.floor:g}..{self.stage.ceiling:g})"


@dataclass(frozen=True)
class Course:
    """What became of one alert; `first` and `last` are the notifications that began and ended it.

    `expected` is what its cause was to bring: all alerts of these labels are its doing.
    """

    rule: Rule
    expected: Expected
    proof: str
    stages: tuple[Measured, ...]
    first: Delivery
    last: Delivery

    def __str__(self) -> str:
        total = sum(each.seconds for each in self.stages) or 1.0
        shares = ", ".join(f"{each} = {each.seconds / total:.0%}" for each in self.stages)
        return f"{self.rule.name}: {self.proof}; seconds (floor..ceiling) = share: {shares}"

    def assert_in_time(self) -> None:
        """Raise Failed where a stage took longer than it may, or was over before it can be."""
        late = [each for each in self.stages if each.seconds > each.stage.ceiling]
        early = [each for each in self.stages if each.seconds < each.stage.floor - AGE_S]
        if late or early:
            each = (late or early)[0]
            word = "longer than its ceiling" if late else "less than its floor"
            raise Failed(f"{self.rule.name}: stage {each} took {word}; {each.stage.formula}")


@dataclass(frozen=True)
class Plan:
    """What is expected of one alert, by the live configuration."""

    expected: Expected
    rule: Rule
    stages: tuple[Stage, ...]

    def ceiling(self, *names: str) -> float:
        """The longest that these stages may take together."""
        return sum(stage.ceiling for stage in self.stages if stage.name in names)


def plan(seen: Monitoring, expected: Expected, promised: float) -> Plan:
    """The plan of one alert. Raises Failed without its rule, or where it can't be delivered within `promised` s."""
    rules = seen.prometheus.rules()
    rule = next((each for each in rules if each.kind == "alerting" and each.name == expected.name), None)
    if rule is None:
        raise Failed(f"Prometheus has loaded no alert {expected.name}: does it select the PrometheusRule?")
    labels = {"alertname": rule.name, "namespace": "", **rule.labels, **expected.labels}
    window, recorded = lookback(rule.query, rules)
    targets = seen.prometheus.targets()
    scrape = max(target.interval for target in targets)
    pace = Pace(
        scrape=scrape,
        timeout=max(target.timeout for target in targets),
        window=window,
        recorded=recorded,
        evaluation=rule.interval,
        wait=rule.wait,
        keep=rule.keep,
        grouping=grouping_of(seen.alertmanager.configuration(), labels),
        lag=expected.lag,
        hindsight=HINDSIGHT * scrape if promql.holds_without(promql.parse(rule.query)) else 0.0,
    )
    made = Plan(expected, rule, stages(pace))
    if (takes := made.ceiling("seen", "evaluated", "fired", "delivered")) > promised:
        raise Failed(
            f"{rule.name} may take {takes:.0f} s from cause to receiver, promised are {promised:g} s: "
            f"for {pace.wait:g} s, window {window:g} s, group_wait {pace.grouping.wait:g} s, "
            f"group_interval {pace.grouping.interval:g} s"
        )
    return made


def follow(
    seen: Monitoring, wanted: Sequence[Expected], promised: float, cause: AbstractContextManager[str]
) -> list[Course]:
    """Bring a cause about, follow its alerts to their receiver, take it away, and follow them to their end.

    Raises Failed that names the first stage that did not come.
    """
    plans = [plan(seen, expected, promised) for expected in wanted]
    began = time.time()
    with cause as proof:
        caused = time.time()
        for each in plans:
            await_firing(seen, each)
        firsts = [await_delivery(seen, p, "firing", began, p.ceiling("delivered") + AGE_S) for p in plans]
        ends = [exactly(seen, p, first) for p, first in zip(plans, firsts, strict=True)]
        left = time.time()
    gone = time.time()
    for each in plans:
        await_over(seen, each)
    lasts = [await_delivery(seen, p, "resolved", left, p.ceiling("told") + AGE_S) for p in ends]
    told = zip(wanted, ends, firsts, lasts, strict=True)
    courses = [Course(p.rule, e, proof, measure(seen, p, (began, caused, gone), (a, b)), a, b) for e, p, a, b in told]
    for course in courses:
        for one in course.stages:
            seen.ledger.record(
                "stage",
                flow=course.rule.name,
                name=one.stage.name,
                floor=one.stage.floor,
                ceiling=one.stage.ceiling,
                seconds=round(one.seconds, 2),
            )
    return courses


def fitting(seen: Monitoring, expected: Expected) -> list[Alert]:
    """The alert, in whatever state it is. Raises NotYet where Prometheus can't be asked now."""
    try:
        return [alert for alert in seen.alerts() if expected.fits(alert.labels)]
    except Unreachable as silent:
        raise NotYet(str(silent)) from silent


def exactly(seen: Monitoring, each: Plan, first: Delivery) -> Plan:
    """The plan narrowed to the alert that was told first: of one kind there may be several, a pod each.

    What is delivered carries labels that Prometheus adds outside, so the alert is known by those that it has inside.
    """
    held = [alert.labels for alert in seen.alerts() if alert.labels.items() <= first.labels.items()]
    held = [labels for labels in held if each.expected.fits(labels)]
    own = {name: value for name, value in held[0].items() if name != "alertname"} if held else each.expected.labels
    return replace(each, expected=replace(each.expected, labels=own))


def await_firing(seen: Monitoring, each: Plan) -> None:
    """Wait until an alert fires. Raises Failed with what its expression gives instead."""

    def firing() -> None:
        found = fitting(seen, each.expected)
        if not any(alert.state == "firing" for alert in found):
            raise NotYet("pending" if found else "inactive")

    try:
        eventually(
            firing,
            within=each.ceiling("seen", "evaluated", "fired"),
            awaited=f"alert {each.rule.name} {dict(each.expected.labels) or ''} fires",
        )
    except Failed as never:
        raise Failed(f"{never}; {reading(seen, each)}") from never


def reading(seen: Monitoring, each: Plan) -> str:
    """What an alert's expression gives while its cause lasts, in words."""
    now = time.time()
    series = seen.prometheus.history(each.rule.query, now - 1, now)
    others = sorted({str(dict(one.labels)) for one in series})
    if not series:
        return f"its expression gives no series while its cause lasts: {' '.join(each.rule.query.split())}"
    return f"`for` is {each.rule.wait:g} s; its expression gives {', '.join(others)[:300]}"


def await_delivery(seen: Monitoring, each: Plan, status: str, since: float, within: float) -> Delivery:
    """Wait until the receiver was told. Raises Failed with what Alertmanager makes of the alert."""

    def told() -> Delivery:
        try:
            arrived = seen.deliveries()
        except Unreachable as silent:
            raise NotYet(str(silent)) from silent
        found = [d for d in arrived if d.status == status and d.at >= since and each.expected.fits(d.labels)]
        if not found:
            raise NotYet(f"{len(arrived)} alerts delivered so far, it is not among them")
        return found[0]

    try:
        return eventually(told, within=within, awaited=f"the receiver is told that {each.rule.name} is {status}")
    except Failed as never:
        raise Failed(f"{never}; {at_alertmanager(seen, each)}") from never


def at_alertmanager(seen: Monitoring, each: Plan) -> str:
    """What Alertmanager makes of an alert, in words."""
    try:
        held = [one for one in seen.alertmanager.alerts() if each.expected.fits(one["labels"])]
    except Unreachable as silent:
        return str(silent)
    if not held:
        return "Alertmanager doesn't hold it: does Prometheus find Alertmanager (spec.alerting)?"
    receivers = sorted({receiver["name"] for one in held for receiver in one["receivers"]})
    states = sorted({one["status"]["state"] for one in held})
    return f"Alertmanager holds it ({', '.join(states)}) for receiver {', '.join(receivers)}: check that receiver's url"


def await_over(seen: Monitoring, each: Plan) -> None:
    """Wait until an alert is neither pending nor firing."""

    def over() -> None:
        if found := fitting(seen, each.expected):
            raise NotYet(f"{found[0].state} with {dict(found[0].labels)}")

    eventually(
        over, within=each.ceiling("cleared", "ended"), awaited=f"alert {each.rule.name} ends after its cause is gone"
    )


def measure(
    seen: Monitoring, each: Plan, moments: tuple[float, float, float], told: tuple[Delivery, Delivery]
) -> tuple[Measured, ...]:
    """How long each stage took, from Prometheus' own samples; all in seconds since 1970."""
    began, caused, gone = moments
    first, last = told
    now = time.time()
    held = seen.prometheus.history(each.rule.query, began, now)
    true = [at for one in held if each.expected.fits({**one.labels, **each.rule.labels}) for at, _ in one.points]
    fired = states(seen, each, "firing", now - began + HISTORY_S, began)
    pending = states(seen, each, "pending", now - began + HISTORY_S, began) if each.rule.wait else fired
    if not true or not fired or not pending:
        raise Failed(f"{each.rule.name} fired, but Prometheus holds no sample of it")
    clear, ended = max(true) + 1, max(fired) + each.rule.interval
    fires = min(fired)
    if (again := unbroken(fired, max(fired), each.rule.interval + BUSY_S)) > fires:
        raise Failed(
            f"{each.rule.name} ended while its cause lasted, and fired again {again - fires:.1f} s after it first did: "
            "whoever was paged is told that all is well; see keep_firing_for, and the expression's windows"
        )
    pends = unbroken(pending, fires, each.rule.interval + BUSY_S)
    seen_at = unbroken(true, pends, 2 * AGE_S)
    taken = {
        "seen": seen_at - caused,
        "evaluated": pends - seen_at,
        "fired": fires - pends,
        "delivered": first.at - fires,
        "cleared": clear - gone,
        "ended": ended - clear,
        "told": last.at - ended,
    }
    return tuple(Measured(stage, max(0.0, taken[stage.name])) for stage in each.stages)


def unbroken(moments: Sequence[float], until: float, gap: float) -> float:
    """Since when something held that held at `until`: the first of the moments that follow each other without a gap.

    A window that fills may pass its threshold for a moment, fall below it and pass it again: only the last counts.
    """
    since = until
    for at in sorted((at for at in moments if at <= until), reverse=True):
        if since - at > gap:
            break
        since = at
    return since


def states(seen: Monitoring, each: Plan, state: str, window: float, since: float) -> list[float]:
    """When evaluations found an alert in a state, in seconds since 1970."""
    selector = f'ALERTS{{alertname="{each.rule.name}",alertstate="{state}"}}'
    found = seen.prometheus.points(selector, int(window) + 1)
    return [at for one in found if each.expected.fits(one.labels) for at, _ in one.points if at >= since]
