"""Stages of a recovery, by what was seen; and how long each may take, by the live configuration."""

import pytest

from shakedown.pace import seconds, toleration, window
from shakedown.recovery import (
    Seen,
    Snapshot,
    Stages,
    made_up_for,
    replaced_pods,
    restarted_pods,
    rid_of,
    run_anew,
    stages,
    whole,
    withdrawn,
)


def pod(name: str, *, ready: bool = True, deleting: bool = False, run: int = 0) -> Seen:
    return Seen(name, f"uid-{name}", "worker", ready, deleting, run)


def snapshot(at: float, serving: str, *pods: Seen) -> Snapshot:
    return Snapshot(at, pods, frozenset(serving.split()))


A, B, C = (pod(name) for name in "abc")
DELETED = [
    snapshot(9.0, "a b c", A, B, C),
    snapshot(10.3, "b c", pod("a", deleting=True), B, C, pod("d", ready=False)),
    snapshot(14.0, "b c d", pod("a", deleting=True), B, C, pod("d")),
    snapshot(16.0, "b c d", B, C, pod("d")),
]
KILLED = [
    snapshot(9.0, "a b c", A, B, C),
    snapshot(11.0, "b c", pod("a", ready=False), B, C),
    snapshot(12.0, "b c", pod("a", ready=False, run=1), B, C),
    snapshot(18.0, "a b c", pod("a", run=1), B, C),
]


def rounded(found: Stages) -> list[float | None]:
    values = (found.noticed, found.out, found.replaced, found.whole)
    return [None if value is None else round(value, 3) for value in values]


def test_stages_of_a_pod_that_is_replaced_and_of_a_container_that_runs_anew() -> None:
    assert rounded(stages(DELETED, frozenset("a"), 10.0)) == [0.3, 0.3, 4.0, 4.0]
    assert rounded(stages(KILLED, frozenset("a"), 10.0)) == [1.0, 1.0, 8.0, 8.0]


def test_a_stage_that_never_came_is_none_and_a_relapse_counts_from_its_end() -> None:
    lost = DELETED[:2]
    assert rounded(stages(lost, frozenset("a"), 10.0)) == [0.3, 0.3, None, None]
    relapsed = [*DELETED, snapshot(20.0, "b c", B, C), snapshot(25.0, "b c e", B, C, pod("e"))]
    assert rounded(stages(relapsed, frozenset("a"), 10.0))[3] == 15.0


def test_a_service_that_never_led_to_fewer_was_whole_all_along_and_nobody_went_out_of_rotation() -> None:
    surged = [DELETED[0], snapshot(12.0, "a b c d", A, B, C, pod("d"))]
    assert rounded(stages(surged, frozenset(), 10.0)) == [None, None, 2.0, 0.0]
    assert rounded(stages(surged[:1], frozenset("a"), 10.0)) == [None, None, None, 0.0]


def test_stages_of_what_was_never_looked_at_are_an_error() -> None:
    with pytest.raises(ValueError, match="never looked at"):
        stages([], frozenset("a"), 10.0)


def test_what_is_missing_is_said_until_nothing_is() -> None:
    lacking = rid_of(["a"], 3)
    assert [lacking(seen) for seen in DELETED] == ["a still there"] * 3 + [""]
    assert whole(3)(DELETED[1]) == "the Service leads to 2 of 3 that are Ready"
    assert whole(3)(DELETED[2]) == "a still ending"
    anew = run_anew("a", 0, 3)
    assert [bool(anew(seen)) for seen in KILLED] == [True, True, True, False]
    assert withdrawn(["a"])(KILLED[0]) == "the Service still leads to a"
    assert not withdrawn(["a"])(KILLED[1])
    outlived = snapshot(11.0, "a b c", pod("a", ready=False, run=1), B, C)
    assert anew(outlived) == "the Service leads to 2 of 3 that are Ready", "an endpoint may outlive its container"
    assert lacking(snapshot(11.0, "a b c", B, C)) == "the Service leads to 2 of 3 that are Ready"
    assert made_up_for(["a"], 3)(KILLED[3]) == "the Service leads to 2 others of 3 that are Ready"
    assert not made_up_for(["a"], 3)(DELETED[2])


def test_which_pods_went_came_and_were_started_again() -> None:
    assert replaced_pods(DELETED[0], DELETED[3]) == ({"a"}, {"d"})
    assert replaced_pods(KILLED[0], KILLED[3]) == (set(), set())
    assert restarted_pods(KILLED[0], KILLED[3]) == {"a"}
    assert not restarted_pods(DELETED[0], DELETED[3])


def test_windows_of_probes_and_durations_are_read_as_kubernetes_means_them() -> None:
    assert window({"periodSeconds": 3, "failureThreshold": 2, "timeoutSeconds": 3}) == 9
    assert window({}) == 31
    assert [seconds(text) for text in ("20s", "1m30s", "500ms", "5m0s")] == [20, 90, 0.5, 300]
    assert toleration({}) == 300
    known = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    assert toleration({"tolerations": [{**known, "tolerationSeconds": 15}]}) == 15
    assert toleration({"tolerations": [known]}) == float("inf")
