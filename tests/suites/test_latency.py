"""The latency suite's verdicts, on windows whose latencies are known."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shakedown.verdict import Failed, Inconclusive
from shakedown.window import Request, Window

SUITE = Path(__file__).parents[2] / "suites" / "prediction" / "test_latency.py"


@pytest.fixture(scope="module")
def judged() -> Callable[..., Any]:
    found: Callable[..., Any] = runpy.run_path(str(SUITE))["judged"]
    return found


def window(slow: int, sent: int = 1000) -> Window:
    """A window of which so many requests took a second and the others 10 ms."""
    took = [1.0] * slow + [0.01] * (sent - slow)
    return Window(
        "steady", 0.0, 25.0, tuple(Request(0.0, 0.0, each, 200, 2, right=True, said="") for each in took), 0.1
    )


def test_few_slow_requests_prove_the_objective(judged: Callable[..., Any]) -> None:
    assert judged(window(2), 0.01, 0.5) == "p99 10 ms, 2 of 1000 above 500 ms"


def test_many_slow_requests_refute_it(judged: Callable[..., Any]) -> None:
    with pytest.raises(Failed, match=r"30 of 1000 above 500 ms: that is .* of all, objective 1%"):
        judged(window(30), 0.01, 0.5)


@pytest.mark.parametrize(("slow", "sent"), [(10, 1000), (0, 100)])
def test_what_the_samples_leave_open_is_not_judged(judged: Callable[..., Any], slow: int, sent: int) -> None:
    with pytest.raises(Inconclusive, match="leaves an objective of 1% open"):
        judged(window(slow, sent), 0.01, 0.5)
