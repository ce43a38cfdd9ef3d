"""While metrics are away a size that moves is red, and silence only passes where no warning can come."""

import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fixtures.autoscaling import Scaling
from fixtures.tide import Surge
from shakedown.ledger import Ledger, now
from shakedown.load import Traffic
from shakedown.verdict import Failed
from shakedown.wait import NotYet
from shakedown.window import Request, Window

SUITE = Path(__file__).parents[2] / "suites" / "autoscaling" / "test_disturbed.py"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
REASON = "FailedGetResourceMetric"


class Users:
    """Traffic of which every answer was right."""

    def window(self, start: float, end: float) -> Window:
        good = Request(start, start, 0.01, 200, 2, right=True, said="")
        return Window("steady", start, end, (good,) * 100, 0.1)


def surge(folder: Path, desired: int) -> Surge:
    scaling = SimpleNamespace(size=lambda: SimpleNamespace(desired=desired))
    return Surge(cast(Scaling, scaling), Ledger(folder / "ledger.jsonl"), 2, 5, cast(Traffic, Users()))


def test_a_size_that_stays_is_green(tmp_path: Path) -> None:
    assert surge(tmp_path, 5).judge(now()).failed == 0


def test_a_size_that_came_back_is_red(tmp_path: Path) -> None:
    seen, start = surge(tmp_path, 5), now()
    for desired in (4, 5):
        seen.ledger.record("hpa", desired=desired)
    with pytest.raises(Failed, match=r"5 servers are needed all the time, the autoscaler wanted \[4, 5\]"):
        seen.judge(start)


def event(reason: str, late: float, count: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        reason=reason, last_timestamp=SINCE + timedelta(seconds=late), count=count, message=f"{reason} it is"
    )


def warning(*events: SimpleNamespace) -> str:
    core = SimpleNamespace(list_namespaced_event=lambda *_, **__: SimpleNamespace(items=list(events)))
    scaling: Any = SimpleNamespace(namespace="ns", name="tensorflow-serving")
    found: str = runpy.run_path(str(SUITE))["warning"](SimpleNamespace(core=core), scaling, REASON, SINCE)
    return found


def test_a_warning_since_then_is_told() -> None:
    assert warning(event("SuccessfulRescale", 1), event(REASON, 2)) == f"{REASON}: {REASON} it is"


@pytest.mark.parametrize("events", [[], [event(REASON, -60)], [event("SuccessfulRescale", 1)]])
def test_silence_is_not_enough_while_a_warning_could_come(events: list[SimpleNamespace]) -> None:
    with pytest.raises(NotYet, match=f"no event {REASON}"):
        warning(*events)


def test_a_warning_that_kubernetes_holds_back_is_told_as_that() -> None:
    assert "no warning: 25 events came before" in warning(event(REASON, -60, count=25))
