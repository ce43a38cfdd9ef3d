"""What the API server tells of objects, in the words that a person is told."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from shakedown import manifests
from shakedown.manifests import lateness_of_conditions, lateness_of_job, lateness_of_rollout
from shakedown.pace import controller_arguments
from shakedown.verdict import Failed, UnusableEnvironment
from shakedown.workloads import CRASHES, troubles_of


def deployment(generation: int = 2, observed: int = 2, replicas: int = 3, **status: int) -> dict[str, Any]:
    counts = {"updatedReplicas": replicas, "availableReplicas": replicas, "replicas": replicas, **status}
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": observed, **counts},
    }


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (deployment(), ""),
        (deployment(observed=1), "its latest change is not yet taken up"),
        (deployment(availableReplicas=1), "1 of 3 available, 3 up to date, 0 old"),
        (deployment(replicas=3, updatedReplicas=1), "3 of 3 available, 1 up to date, 2 old"),
        ({"metadata": {"generation": 1}, "spec": {}}, "its latest change is not yet taken up"),
    ],
)
def test_a_roll_out_is_complete_only_when_its_latest_generation_is_out(seen: dict[str, Any], words: str) -> None:
    late = lateness_of_rollout("Deployment", "d", seen)
    assert late == (f"Deployment d: {words}" if words else "")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"status": "True", "observedGeneration": 2}, ""),
        ({"status": "True"}, ""),
        ({"status": "True", "observedGeneration": 1}, "APIService a: its latest change is not yet taken up"),
        (
            {"status": "False", "reason": "MissingEndpoints", "message": "nobody is behind it"},
            "APIService a is not Available: MissingEndpoints nobody is behind it",
        ),
        ({}, "APIService a is not Available: its controller says nothing"),
    ],
)
def test_an_object_that_says_why_it_is_not_up_is_quoted(condition: dict[str, Any], words: str) -> None:
    conditions = [{"type": "Available", **condition}] if condition else []
    seen = {"metadata": {"generation": 2}, "status": {"conditions": conditions}}
    assert lateness_of_conditions("APIService", "a", seen) == words


def job(kind: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "n"},
        "status": {"conditions": [{"type": kind, "status": "True", "message": "BackoffLimitExceeded"}]},
    }


def test_a_failed_job_ends_the_wait_and_says_where_to_look() -> None:
    with pytest.raises(Failed, match=r"Job j failed: BackoffLimitExceeded; see kubectl logs --namespace=n job/j"):
        lateness_of_job("j", job("Failed"))
    assert lateness_of_job("j", job("Complete")) == ""
    assert lateness_of_job("j", {"metadata": {}}) == "Job j has not ended"


def state(**kinds: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"waiting": None, "terminated": None, "running": None, **kinds})


def pod(status: SimpleNamespace | None, phase: str = "Running", **conditions: tuple[str, str]) -> SimpleNamespace:
    listed = [SimpleNamespace(type=k, status=v[0], message=v[1]) for k, v in conditions.items()]
    return SimpleNamespace(
        metadata=SimpleNamespace(name="p", owner_references=[SimpleNamespace(kind="Job", name="j")]),
        spec=SimpleNamespace(node_name="n"),
        status=SimpleNamespace(
            phase=phase,
            reason="Evicted",
            message="low on memory",
            conditions=listed,
            init_container_statuses=None,
            container_statuses=[status] if status else None,
        ),
    )


def container(restarts: int = 0, *, ready: bool = False, last: Any = None, **now: Any) -> SimpleNamespace:
    return SimpleNamespace(
        name="c", ready=ready, restart_count=restarts, state=state(**now), last_state=state(terminated=last)
    )


def failed() -> SimpleNamespace:
    made = pod(container(terminated=SimpleNamespace(exit_code=1, reason="Error")), phase="Failed")
    made.status.reason = made.status.message = None
    return made


OOM = SimpleNamespace(reason="OOMKilled", exit_code=137)


@pytest.mark.parametrize(
    ("seen", "words", "hopeless"),
    [
        (
            pod(container(waiting=SimpleNamespace(reason="ImagePullBackOff", message="m"))),
            "ImagePullBackOff: m; the image",
            True,
        ),
        (pod(container(CRASHES, last=OOM)), f"ended {CRASHES} times: OOMKilled, exit code 137; raise its memory", True),
        (pod(container(1, last=OOM)), "ended 1 times", False),
        (pod(container(running=SimpleNamespace())), "container c of pod p runs but is not Ready", False),
        (pod(None, phase="Pending", PodScheduled=("False", "0/3 nodes")), "can't be scheduled: 0/3 nodes", False),
        (pod(None, phase="Failed"), "Job j failed: pod p failed: Evicted low on memory", True),
        (failed(), "Job j failed: pod p failed: container c ended with exit code 1", True),
        (pod(None, phase="Pending"), "pod p is being started on n", False),
    ],
)
def test_what_keeps_a_pod_from_being_ready_is_named(seen: Any, words: str, hopeless: bool) -> None:  # noqa: FBT001
    found = list(troubles_of(seen))
    assert found
    assert words in found[0].text
    assert found[0].hopeless is hopeless


def test_a_ready_pod_and_one_that_ended_well_are_no_trouble() -> None:
    assert list(troubles_of(pod(container(ready=True, running=SimpleNamespace()), Ready=("True", "")))) == []
    assert list(troubles_of(pod(None, phase="Succeeded"))) == []


def test_the_digest_tells_two_stacks_apart_and_not_their_order_of_keys() -> None:
    one, same, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}
    assert manifests.digest([one]) == manifests.digest([same]) != manifests.digest([other])


def test_an_overlay_that_does_not_render_is_named(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    kubectl.chmod(0o755)
    (tmp_path / "overlay").mkdir()
    with pytest.raises(UnusableEnvironment, match=r"kustomize .*overlay.*no such thing"):
        manifests.render(kubectl, tmp_path / "overlay")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kubectl", "overlay"]


def cluster_with(*items: dict[str, Any]) -> Any:
    return SimpleNamespace(context="theirs", kubectl=lambda *_: json.dumps({"items": items}))


def test_a_deployment_of_another_name_than_the_settings_say_is_told_with_those_that_are_there() -> None:
    there = {"kind": "Deployment", "metadata": {"name": "label-reader"}}
    said = r"has no Deployment 'tensorflow-serving', but \['label-reader'\]; name yours in shakedown.toml"
    with pytest.raises(UnusableEnvironment, match=said):
        manifests.found(cluster_with(there), "vision", "tensorflow-serving", within=1)
    with pytest.raises(UnusableEnvironment, match="'vision' of theirs holds no workload to judge"):
        manifests.found(cluster_with(), "vision", "label-reader", within=1)


def forbidden(status: int) -> Any:
    def get(_: str) -> dict[str, Any]:
        raise ApiException(status=status)

    return SimpleNamespace(get=get)


def test_a_control_plane_that_may_not_be_seen_keeps_kubernetes_own_periods() -> None:
    assert controller_arguments(forbidden(403)) == {}
    with pytest.raises(ApiException):
        controller_arguments(forbidden(500))
