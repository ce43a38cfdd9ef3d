"""What was measured bounds what is judged: a defect within the longest that is allowed is red all the same."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.faults import Course
from shakedown.faults.inject import Injected
from shakedown.recovery import Snapshot, Stages
from shakedown.verdict import Failed
from shakedown.window import Request, Window

SUITES = Path(__file__).parents[2] / "suites"


def course(failed: int, undone: float) -> Course:
    answers = [
        Request(at / 50, at / 50, 0.01, 502 if at < failed else 200, 2, right=True, said="") for at in range(300)
    ]
    seen, traffic = Snapshot(0.0, (), frozenset()), Window("steady", 0.0, 6.0, tuple(answers), 0.1)
    return Course(
        Injected("container-killed", "gateway", 0.0, 0.1, "died"),
        seen,
        seen,
        Stages(None, None, None, None),
        traffic,
        undone,
    )


def judge_gateway(failed: int, undone: float) -> list[str]:
    test = runpy.run_path(str(SUITES / "recovery" / "test_gateway.py"))["test_killed_gateway_opens_again_before_long"]
    probe = SimpleNamespace(period_seconds=1)
    spec = SimpleNamespace(containers=[SimpleNamespace(startup_probe=probe, readiness_probe=probe)])
    core = SimpleNamespace(read_namespaced_pod=lambda *_: SimpleNamespace(spec=spec))
    pod, said = SimpleNamespace(name="traefik-1", address="", uid="1", node="n", restarts=0), list[str]()
    arena: Any = SimpleNamespace(rate=50.0, run=lambda *_: course(failed, undone))
    test.__globals__["Victim"] = lambda *_: SimpleNamespace(processes=list)
    test.__globals__["ContainerKilled"] = lambda *_: None
    test(arena, SimpleNamespace(core=core), None, [pod], SimpleNamespace(model="m"), said.append)
    return said


def test_a_gateway_may_lose_what_was_sent_while_it_was_shut() -> None:
    assert "seen open after 4.2 s, it may take 10 s" in judge_gateway(failed=200, undone=4.2)[0]
    with pytest.raises(Failed, match="250 of 300 predictions failed, 210 may"):
        judge_gateway(failed=250, undone=4.2)


def judge_ebb(ebbed: float) -> list[str]:
    suite = runpy.run_path(str(SUITES / "autoscaling" / "test_in.py"))
    scaler, pace = SimpleNamespace(most=6, down_window=30.0), SimpleNamespace(sync=5.0)
    at, said = SimpleNamespace(left=0.0, end=ebbed + 10, ebbed=ebbed), list[str]()
    scaling = SimpleNamespace(scaler=scaler, pace=pace, in_within=150.0)
    tide = SimpleNamespace(scaling=scaling, at=at, wanted=lambda *_: [(0.0, 6), (35.0, 5)])
    suite["test_servers_go_once_their_load_has_been_gone_for_the_stabilisation_window"](tide, said.append)
    return said


def test_servers_that_stay_longer_than_their_policy_allows_are_red() -> None:
    assert judge_ebb(63.0) == ["first one told to go after 35.0 s, at the least size after 63.0 s"]
    with pytest.raises(AssertionError, match="outlived their load by 400 s, by their policy they may by 150 s"):
        judge_ebb(400.0)
