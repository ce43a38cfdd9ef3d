"""The soonest that each stage of an alert's life can take, and the longest that it may, from the live configuration.

An alert's life: its cause lands; it is *seen* in the samples (scraped, and through any window and recorded series);
the rule is *evaluated* and the alert pending; it *fires* after `for`; it is *delivered* after the group's wait. Then
the cause goes: the samples *clear*, the alert *ends* at an evaluation, and its end is *told*.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from shakedown.lint import promql
from shakedown.lint.quantity import seconds
from shakedown.observe.prometheus import Labels, Rule

DISCOVERY_S = 5.0  # Prometheus takes up changes of its targets no more often than this
# A target that is gone is given two scrapes and a tenth to come back, and then marked as gone since the first of them
# (Prometheus' endOfRunStaleness): who looks back sees it so long before any evaluation could
HINDSIGHT = 1.1
BUSY_S = 5.0  # what a stage may add on a machine of 2 cores that does other things too; queries step by 1 s
MATCHER = re.compile(r"""\s*"?([A-Za-z_]\w*)"?\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*""")


@dataclass(frozen=True)
class Stage:
    """One stage, in seconds: `floor` and `ceiling`, `polls` (the intervals whose phase is chance), and the formula."""

    name: str
    floor: float
    ceiling: float
    polls: float
    formula: str

    @property
    def expected(self) -> float:
        """The mean over many runs: the floor, and half of each interval whose phase is chance."""
        return self.floor + self.polls / 2


@dataclass(frozen=True)
class Grouping:
    """How Alertmanager groups and delays what goes to one receiver; times in seconds."""

    receiver: str
    by: tuple[str, ...]
    wait: float
    interval: float
    repeat: float = 4 * 3600.0  # Alertmanager's default


@dataclass(frozen=True)
class Pace:
    """What decides how long an alert takes; times in seconds.

    `scrape` and `timeout` are the slowest target's of all, `window` the longest that its expression looks
    back, recorded series included, `recorded` the evaluation intervals of those, `lag` what the exporter itself lags.
    `hindsight` is how much later than its date Prometheus writes what makes the expression true.
    """

    scrape: float
    timeout: float
    window: float
    recorded: float
    evaluation: float
    wait: float
    keep: float
    grouping: Grouping
    lag: float = 0.0
    hindsight: float = 0.0


def stages(pace: Pace) -> tuple[Stage, ...]:
    """The stages of an alert's life, in order, each with its formula."""
    sight = DISCOVERY_S + pace.lag + pace.scrape + pace.timeout + pace.window + pace.recorded + BUSY_S
    polled = pace.scrape + pace.recorded
    sighted = "discovery + exporter's lag + scrape interval + scrape time-out + window + recording intervals + busy"
    rounds = math.ceil(pace.wait / pace.evaluation) * pace.evaluation
    group = pace.grouping
    return (
        Stage("seen", 0.0, sight, polled, f"0 .. {sighted}"),
        Stage(
            "evaluated",
            0.0,
            pace.evaluation + pace.hindsight + BUSY_S,
            pace.evaluation,
            "0 .. evaluation interval + what a target that is gone is marked as gone in hindsight + busy",
        ),
        Stage(
            "fired",
            rounds,
            rounds + pace.evaluation + BUSY_S,
            0.0,
            "`for`, rounded up to evaluations .. one evaluation more + busy",
        ),
        Stage(
            "delivered",
            group.wait,
            max(group.wait, group.interval) + BUSY_S,
            0.0,
            "group_wait .. the longer of group_wait and group_interval + busy",
        ),
        Stage("cleared", 0.0, sight, polled, f"0 .. {sighted}"),
        Stage(
            "ended",
            pace.keep,
            pace.keep + pace.evaluation + BUSY_S,
            pace.evaluation,
            "keep_firing_for .. one evaluation interval more + busy",
        ),
        Stage("told", 0.0, group.interval + BUSY_S, group.interval, "0 .. group_interval + busy"),
    )


def lookback(query: str, rules: Sequence[Rule]) -> tuple[float, float]:
    """The longest that an expression looks back, and the evaluation intervals of recorded series on the way; seconds.

    Recorded series are followed to their own expressions. Raises PromqlError for what does not parse.
    """
    recorded = {rule.name: rule for rule in rules if rule.kind == "recording"}
    window, intervals = 0.0, 0.0
    for one in promql.series(promql.parse(query)):
        below = recorded.get(one.metric)
        inner = lookback(below.query, rules) if below else (0.0, 0.0)
        window = max(window, one.range_s + offset_of(query, one.metric) + inner[0])
        intervals = max(intervals, inner[1] + (below.interval if below else 0.0))
    return window, intervals


def offset_of(query: str, metric: str) -> float:
    """The longest `offset` of a metric's selectors, in seconds."""
    found = re.findall(rf"{re.escape(metric)}(?:\{{[^}}]*\}})?(?:\[\w+\])?\s+offset\s+(\w+)", query)
    return max((seconds(text) or 0.0 for text in found), default=0.0)


def metrics_of(query: str, rules: Sequence[Rule]) -> set[str]:
    """Every metric that an expression reads, recorded series replaced by what they are recorded from."""
    recorded = {rule.name: rule for rule in rules if rule.kind == "recording"}
    found: set[str] = set()
    for one in promql.series(promql.parse(query)):
        below = recorded.get(one.metric)
        found |= metrics_of(below.query, rules) if below else {one.metric}
    return found


def grouping_of(configuration: str, labels: Labels) -> Grouping:
    """How Alertmanager treats an alert with these labels, by its configuration (YAML).

    As Alertmanager does: the first child that matches takes it, its own settings over its parents'.
    """
    route = yaml.safe_load(configuration)["route"]
    settings: dict[str, Any] = {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h", "group_by": []}
    for each in way(route, labels):
        settings |= {key: value for key, value in each.items() if key not in {"routes", "matchers", "match"}}
    times = {name: seconds(settings[name]) for name in ("group_wait", "group_interval", "repeat_interval")}
    wait, interval, repeat = times.values()
    if wait is None or interval is None or repeat is None:
        raise ValueError(f"no durations: { {name: settings[name] for name, value in times.items() if value is None} }")
    return Grouping(str(settings["receiver"]), tuple(settings["group_by"] or ()), wait, interval, repeat)


def way(route: Mapping[str, Any], labels: Labels) -> Iterator[Mapping[str, Any]]:
    """The routes that an alert goes through, from the root on."""
    yield route
    for child in route.get("routes") or []:
        if all(matches(text, labels) for text in conditions(child)):
            yield from way(child, labels)
            return


def conditions(route: Mapping[str, Any]) -> Iterable[str]:
    """A route's matchers as text; the old form `match` included."""
    yield from route.get("matchers") or []
    for name, value in (route.get("match") or {}).items():
        yield f'{name}="{value}"'
    for name, value in (route.get("match_re") or {}).items():
        yield f'{name}=~"{value}"'


def matches(matcher: str, labels: Labels) -> bool:
    """Whether one of Alertmanager's matchers takes these labels; a missing label is empty. Raises ValueError."""
    parsed = MATCHER.fullmatch(matcher)
    if parsed is None:
        raise ValueError(f"{matcher!r} is no matcher")
    name, operator, wanted = parsed.groups()
    value = labels.get(name, "")
    same = value == wanted if operator in {"=", "!="} else re.fullmatch(wanted, value) is not None
    return same is (operator in {"=", "=~"})
