"""Users wait no longer than was promised, at the rate that was promised, counted from when each request was due."""

from typing import Literal

import pytest

from fixtures.verdicts import Evidence
from shakedown.load import Load
from shakedown.settings import Objectives
from shakedown.shapes import steady
from shakedown.stats import binomial_interval
from shakedown.verdict import Failed, Inconclusive
from shakedown.window import Window

SAMPLES = 1000  # 2 slow ones in it still prove, and 20 refute, that less than 1 in 100 is slow
ALPHA = 0.02  # both sides: each verdict is wrong at most one time in a hundred
SETTLE_S = 3.0  # connections are opened, the servers' threads come up
REST: Literal["rest"] = "rest"
GRPC: Literal["grpc"] = "grpc"


def judged(window: Window, share: float, objective: float) -> str:
    """How many requests took longer than `objective` seconds, of which `share` may, in words.

    Raises Failed where more do, at the declared error rate, and Inconclusive where the samples leave it open.
    """
    slow = sum(each.latency > objective for each in window.requests)
    where = binomial_interval(slow, window.sent, ALPHA)
    name = f"p{100 * (1 - share):g}"
    said = f"{name} {window.quantile(1 - share) * 1e3:.0f} ms, {slow} of {window.sent} above {objective * 1e3:g} ms"
    if where.low > share:
        raise Failed(f"{window.flow}: {said}: that is {where} of all, objective {share:.0%}")
    if where.high > share:
        raise Inconclusive(
            f"{window.flow}: {said}: {where} of all may be, which leaves an objective of {share:.0%} open"
        )
    return said


@pytest.mark.parametrize(
    "protocol", [REST, pytest.param(GRPC, marks=[pytest.mark.needs("whole_door"), pytest.mark.asks_for("grpc")])]
)
def test_predictions_keep_their_latency_objectives_under_steady_load(
    load: Load, objectives: Objectives, served: int, evidence: Evidence, protocol: Literal["rest", "grpc"]
) -> None:
    """Through the front door, at a steady rate in an open model, half and 99 in 100 predictions keep the objectives."""
    seconds = SAMPLES / objectives.latency_rate
    with load.running(steady(objectives.latency_rate, SETTLE_S + seconds + 5), protocol) as traffic:
        traffic.collect(SETTLE_S)
        window = traffic.collect(seconds)
    window.assert_kept_up(SAMPLES * 9 // 10)
    window.assert_none_failed()
    window.assert_none_wrong({served})
    half, most = judged(window, 0.5, objectives.latency_p50), judged(window, 0.01, objectives.latency_p99)
    evidence(f"{window.sent} samples at {window.rate:.0f} a second over {protocol}: {half}; {most}")
