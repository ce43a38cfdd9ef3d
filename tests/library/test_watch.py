"""What watchers write into the ledger, and what they don't."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shakedown.ledger import Ledger, now
from shakedown.observe.kubernetes import hpa, metric, pod_fields, replicas, workload
from shakedown.observe.watch import Sight, Watcher, require_sight, watching
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet, eventually


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


def told(ledger: Ledger, *kinds: str) -> list[tuple[str, Any]]:
    return [(event.kind, event.fields) for event in ledger.events() if event.kind in kinds]


class Scene:
    """What is there to see: a list that a test changes, or an error."""

    def __init__(self, *sights: Sight) -> None:
        self.sights: list[Sight] = list(sights)
        self.error: Exception | None = None

    def __call__(self) -> Sequence[Sight]:
        if self.error:
            raise self.error
        return list(self.sights)


def test_only_changes_are_written_down(ledger: Ledger) -> None:
    scene = Scene(Sight("hpa", "x", {"desired": 3}))
    watcher = Watcher(ledger, scene)
    watcher.turn()
    watcher.turn()
    scene.sights = [Sight("hpa", "x", {"desired": 4}, at=12.5)]
    watcher.turn()
    assert told(ledger, "hpa") == [("hpa", {"desired": 4}), ("hpa", {"desired": 3})]  # by time: the second said when


def test_what_is_gone_says_farewell_once_where_it_has_one(ledger: Ledger) -> None:
    scene = Scene(Sight("pod", "a", {"phase": "Running"}, farewell={"phase": "Gone"}), Sight("hpa", "x", {}))
    watcher = Watcher(ledger, scene)
    watcher.turn()
    scene.sights = []
    watcher.turn()
    watcher.turn()
    assert told(ledger, "pod", "hpa") == [("pod", {"phase": "Running"}), ("hpa", {}), ("pod", {"phase": "Gone"})]


def test_a_watcher_goes_on_after_a_look_that_failed_and_says_so_once(ledger: Ledger) -> None:
    scene = Scene(Sight("hpa", "x", {"desired": 3}))

    def written(kind: str, count: int) -> None:
        if len(told(ledger, kind)) < count:
            raise NotYet("not written")

    with watching(ledger, scene, period=0.01):
        scene.error = OSError("nobody there")
        eventually(lambda: written("unseen", 1), within=5, awaited="the failed look is written down")
        scene.sights, scene.error = [Sight("hpa", "x", {"desired": 5})], None
        eventually(lambda: written("hpa", 2), within=5, awaited="the change after it is")
    ((_, unseen),) = told(ledger, "unseen")
    assert (unseen["said"], unseen["kinds"]) == ("OSError: nobody there", ["hpa"])


def test_what_nobody_saw_for_long_is_not_judged(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes long leaves as much unseen as one that fails; what was seen before and after it is judged."""
    monkeypatch.setattr("shakedown.observe.watch.BLIND_S", 0.1)
    scene = Scene(Sight("hpa", "x", {"desired": 3}))
    watcher = Watcher(ledger, scene)
    watcher.turn()
    before = now()
    time.sleep(0.15)
    watcher.turn()
    after = now()
    watcher.turn()
    events = list(ledger.events())
    require_sight(events, "hpa", 0.0, before - 0.01)
    require_sight(events, "hpa", after, after + 1)
    require_sight(events, "pods", before, after)
    with pytest.raises(Inconclusive, match=r"nothing of kind hpa was seen for 0\.\d s: one look took so long"):
        require_sight(events, "hpa", before, after)


def test_what_the_first_look_raises_is_raised(ledger: Ledger) -> None:
    scene = Scene()
    scene.error = LookupError("no such HPA")
    with pytest.raises(LookupError, match="no such HPA"), watching(ledger, scene):
        pytest.fail("a watcher that sees nothing is no watcher")


class Api:
    """Stands in for a cluster: answers by path."""

    def __init__(self, **answers: dict[str, Any]) -> None:
        self.answers = answers

    def get(self, path: str) -> dict[str, Any]:
        return next(answer for part, answer in self.answers.items() if part in path)


HPA = {
    "spec": {"minReplicas": 3, "maxReplicas": 6},
    "status": {
        "desiredReplicas": 4,
        "currentReplicas": 3,
        "conditions": [{"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}],
        "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 71}}},
            {"type": "External", "external": {"metric": {"name": "rps"}, "current": {"averageValue": "10700m"}}},
        ],
    },
}


def test_an_autoscaler_is_seen_with_its_bounds_and_metrics() -> None:
    (sight,) = hpa(Api(horizontalpodautoscalers=HPA), "ns", "web")()  # type: ignore[arg-type]
    assert (sight.kind, sight.key) == ("hpa", "web")
    assert sight.fields == {
        "name": "web", "desired": 4, "current": 3, "least": 3, "most": 6,
        "conditions": {"ScalingActive": "True ValidMetricFound"}, "metrics": {"cpu": "71", "rps": "10700m"},
    }  # fmt: skip


def test_a_metric_without_a_value_is_none_and_not_nought() -> None:
    assert metric({"type": "Resource", "resource": {"name": "cpu", "current": {}}}) == ("cpu", None)


def pod(name: str, *, ready: bool, ending: bool = False, node: str = "w1") -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    if ending:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    state = {"running": {}} if ready else {"waiting": {"reason": "CrashLoopBackOff"}}
    return {
        "metadata": meta,
        "spec": {"nodeName": node},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"restartCount": 1, "state": state, "lastState": {}}],
        },
    }


def test_a_deployment_is_seen_with_its_pods() -> None:
    pods = {"items": [pod("a", ready=True), pod("b", ready=False), pod("c", ready=True, ending=True)]}
    spec = {"spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}}}
    seen = workload(Api(pods=pods, deployments=spec), "ns", "web")()  # type: ignore[arg-type]
    assert [sight.key for sight in seen] == ["web", "a", "b", "c"]
    assert seen[0].fields == {"name": "web", "wanted": 3, "ready": 1, "ending": 1, "by_node": {"w1": 1}}
    assert seen[2].fields["what"] == "CrashLoopBackOff"
    assert seen[2].farewell is not None
    assert seen[2].farewell["phase"] == "Gone"


def test_a_pod_on_no_node_says_why() -> None:
    pending = {
        "metadata": {"name": "p", "creationTimestamp": "1970-01-01T00:01:00Z"},
        "spec": {},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
        },
    }
    fields = pod_fields(pending)
    assert (fields["what"], fields["node"], fields["ready"], fields["created"]) == ("Unschedulable", "", False, 60.0)


def test_servers_are_counted_beside_what_the_autoscaler_wants() -> None:
    deployment = {"spec": {"replicas": 4}, "status": {"readyReplicas": 3, "updatedReplicas": 1}}
    api: Any = Api(deployments=deployment, horizontalpodautoscalers=HPA)
    (sight,) = replicas(api, "ns", "web", "web")()
    assert sight.fields == {"name": "web", "wanted": 4, "ready": 3, "updated": 1, "desired": 4}
    (sight,) = replicas(api, "ns", "web")()
    assert "desired" not in sight.fields, "nobody scales it"
