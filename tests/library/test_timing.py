"""Floors and ceilings: what holds for every configuration, and what a known one gives."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.observe.prometheus import Rule
from shakedown.timing import Grouping, Pace, Stage, grouping_of, lookback, matches, metrics_of, stages

short = st.integers(min_value=10, max_value=1200).map(lambda tenths: tenths / 10)
span = st.integers(min_value=0, max_value=36000).map(lambda tenths: tenths / 10)
groupings = st.builds(Grouping, receiver=st.just("hook"), by=st.just(()), wait=span, interval=short)
paces = st.builds(
    Pace,
    scrape=short, timeout=short, window=span, recorded=span, evaluation=short, wait=span, keep=span,
    grouping=groupings, lag=span, hindsight=span,
)  # fmt: skip


def by_name(pace: Pace) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages(pace)}


@given(paces)
def test_no_stage_ends_before_its_floor_and_each_expectation_lies_between(pace: Pace) -> None:
    found = stages(pace)
    assert {"seen", "evaluated", "fired", "delivered"} <= {stage.name for stage in found}
    for stage in found:
        assert 0 <= stage.floor <= stage.expected <= stage.ceiling < math.inf
        assert stage.formula


@given(paces)
def test_for_is_rounded_up_to_whole_evaluations(pace: Pace) -> None:
    fired = by_name(pace)["fired"]
    assert pace.wait - 1e-6 <= fired.floor < pace.wait + pace.evaluation + 1e-6
    assert fired.floor / pace.evaluation == pytest.approx(round(fired.floor / pace.evaluation))


@given(paces, short)
def test_a_slower_clock_never_lowers_a_bound(pace: Pace, more: float) -> None:
    slower = replace(
        pace,
        scrape=pace.scrape + more,
        window=pace.window + more,
        keep=pace.keep + more,
        grouping=replace(pace.grouping, wait=pace.grouping.wait + more, interval=pace.grouping.interval + more),
    )
    for before, after in zip(stages(pace), stages(slower), strict=True):
        assert after.floor >= before.floor
        assert after.ceiling >= before.ceiling


def test_the_measured_cluster_gives_its_known_numbers() -> None:
    """Scrape and evaluation 5 s, `for` 15 s, group_wait 1 s: 16 s at the least, as was measured."""
    pace = Pace(5, 4, 0, 0, 5, 15, 0, Grouping("hook", (), 1, 5))
    named = by_name(pace)
    upward = [named[name] for name in ("seen", "evaluated", "fired", "delivered")]
    assert sum(stage.floor for stage in upward) == 16
    assert sum(stage.expected for stage in upward) == 21


def rule(name: str, query: str, kind: str = "recording", interval: float = 5.0) -> Rule:
    return Rule("g", interval, kind, name, query, 0, 0, {}, {}, "", evaluated=True)


def test_a_window_is_followed_through_recorded_series() -> None:
    rules = [rule("a:b", "sum(rate(x_total[1m]))"), rule("c:d", "a:b / 2 + y", interval=7)]
    assert lookback("c:d > 1 and rate(z_total[30s]) > 0", rules) == (60, 12)
    assert metrics_of("c:d > 1 and up", rules) == {"x_total", "y", "up"}


def test_an_offset_is_looked_back_too() -> None:
    assert lookback('a{job="x"} - a{job="x"} offset 15m > 0', []) == (900, 0)


CONFIGURATION = """
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  routes:
    - matchers: ['alertname = "Watchdog"']
      receiver: heart
      group_wait: 0s
    - matchers: [severity=~"critical|page"]
      group_wait: 1s
      routes:
        - {match: {team: blue}, receiver: blue}
receivers: [{name: hook}]
"""


def test_an_alert_takes_the_first_route_that_matches_and_inherits_the_rest() -> None:
    assert grouping_of(CONFIGURATION, {"severity": "info"}) == Grouping("hook", ("alertname",), 10, 60, 4 * 3600)
    assert grouping_of(CONFIGURATION, {"severity": "page"}) == Grouping("hook", ("alertname",), 1, 60)
    assert grouping_of(CONFIGURATION, {"severity": "page", "team": "blue"}).receiver == "blue"
    assert grouping_of(CONFIGURATION, {"alertname": "Watchdog", "severity": "page"}).receiver == "heart"


@given(st.sampled_from(["a", "b", ""]), st.sampled_from(["a", "b"]))
def test_a_matcher_and_its_negation_never_agree(value: str, wanted: str) -> None:
    labels = {"x": value} if value else {}
    for operator, negated in (("=", "!="), ("=~", "!~")):
        assert matches(f'x{operator}"{wanted}"', labels) is not matches(f'x {negated} "{wanted}"', labels)
    with pytest.raises(ValueError, match="is no matcher"):
        matches("nonsense", labels)
