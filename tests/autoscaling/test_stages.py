"""Stages are read from what was seen, and the one that overran is named."""

from dataclasses import replace
from typing import Any

import pytest

from shakedown.autoscaling import Scaler
from shakedown.ledger import Event
from shakedown.scaling_stages import Pace, Way, turns, way_in, way_out
from shakedown.verdict import Failed, Inconclusive

SCALER = Scaler("servers", 3, 6, 70.0, "rate", "backend=servers", 20.0, 30.0, 1, 5.0)
PACE = Pace(scrape=5, window=15, sync=5, start=120, drain=5, grace=7)


def pod(at: float, name: str, **fields: Any) -> Event:
    seen = {"name": name, "phase": "Pending", "ready": False, "node": "", "ending": False, **fields}
    return Event(at, "pod", seen)


OUT = [
    pod(0.0, "old", phase="Running", ready=True, node="n1"),
    Event(102.0, "metric", {"name": "rate", "value": 40.0}),
    Event(106.0, "metric", {"name": "rate", "value": 92.0}),
    Event(109.0, "hpa", {"desired": 5}),
    pod(109.5, "new"),
    pod(110.0, "new", node="n2"),
    pod(111.0, "new", node="n2", phase="Running"),
    pod(125.0, "new", node="n2", phase="Running", ready=True),
]
BACK = [
    Event(206.0, "metric", {"name": "rate", "value": 20.0}),
    Event(238.0, "hpa", {"desired": 4}),
    pod(238.5, "new", ending=True),
    pod(245.0, "new", ending=True, phase="Gone"),
]


def test_the_way_out_is_cut_at_what_was_seen() -> None:
    flow = way_out(Way(OUT, 100.0, 103.0, 3), SCALER, PACE, lambda _: 128.0)
    assert [round(each.seconds, 2) for each in flow.stages] == [3.0, 3.0, 3.0, 0.5, 0.5, 1.0, 14.0, 3.0]
    assert flow.seconds == pytest.approx(28)
    flow.assert_in_time()


def test_the_way_in_holds_the_stabilisation_window() -> None:
    flow = way_in(Way(BACK, 200.0, 202.0, 5), SCALER, PACE)
    assert [each.seconds for each in flow.stages] == [2.0, 4.0, 32.0, 0.5, 6.5]
    flow.assert_in_time()


def test_the_stage_that_overran_is_named_with_its_formula() -> None:
    late = [replace(event, at=event.at + 60) if event.at >= 109 else event for event in OUT]
    flow = way_out(Way(late, 100.0, 103.0, 3), SCALER, PACE, lambda _: 190.0)
    with pytest.raises(Failed, match=r"stage desired 63\.0 \(0\.\.10\) took longer than it may; .* sync period"):
        flow.assert_in_time()


def test_a_server_that_is_gone_before_its_drain_is_over_is_told() -> None:
    at_once = [*BACK[:-1], replace(BACK[-1], at=239.5)]
    flow = way_in(Way(at_once, 200.0, 202.0, 5), SCALER, PACE)
    with pytest.raises(Failed, match=r"stage gone 1\.0 \(5\.\.12\) was over before it may be; preStop"):
        flow.assert_in_time()


def test_what_was_never_seen_is_no_stage() -> None:
    with pytest.raises(Inconclusive, match="the HPA wanting more was never seen"):
        way_out(Way(OUT[:3], 100.0, 103.0, 3), SCALER, PACE, lambda _: 128.0)


def test_flapping_is_a_second_change_of_direction() -> None:
    assert turns([3, 3, 5, 5, 4, 3]) == 1
    assert turns([3, 5, 4, 5, 3]) == 3
    assert turns([3, 3]) == 0
