"""The whole manifest set is upgraded and rolled back under traffic, and users notice nothing."""

import copy

import pytest

from fixtures.serving import Steady
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.manifests import Manifest, Stack, apply
from shakedown.rollout import await_rollout
from shakedown.settings import Deadlines

pytestmark = pytest.mark.test_bed  # everything is applied anew

REVISION = "shakedown.dev/revision"


def upgraded(stack: Stack) -> list[Manifest]:
    """The stack with another revision on every Deployment's pods; a Job's template can't be changed, so they stay."""
    objects = [copy.deepcopy(item) for item in stack.objects if item["kind"] != "Job"]
    for item in objects:
        if item["kind"] == "Deployment":
            item["spec"]["template"]["metadata"].setdefault("annotations", {})[REVISION] = "upgraded"
    return objects


def revision_of(cluster: Cluster, namespace: str, name: str) -> str:
    """The revision of a Deployment as the API server counts it."""
    annotations = cluster.apps.read_namespaced_deployment(name, namespace).metadata.annotations
    return str(annotations["deployment.kubernetes.io/revision"])


def test_upgrade_and_rollback_of_everything_without_a_failed_or_wrong_prediction(
    cluster: Cluster,
    stack: Stack,
    deadlines: Deadlines,
    trickle: Steady,
    served: int,
    evidence: Evidence,
) -> None:
    """All pods, the gateway's too, are replaced by an upgrade and again by its rollback; each answer is right."""
    original = [item for item in stack.objects if item["kind"] != "Job"]
    rollouts = [i["metadata"] for i in original if i["kind"] == "Deployment"]
    places = [(meta["namespace"], meta["name"]) for meta in rollouts]
    before = [revision_of(cluster, *place) for place in places]
    with trickle() as flow:
        try:
            flow.collect(10)
            up = apply(cluster, upgraded(stack), deadlines.rollout)
        finally:
            down = apply(cluster, original, deadlines.rollout)
            for place in places:
                await_rollout(cluster, *place, deadlines.rollout)
        flow.collect(10)
    told = flow.judge({served}, least=100)
    after = [revision_of(cluster, *place) for place in places]
    still = [name for (_, name), old, new in zip(places, before, after, strict=True) if old == new]
    assert not still, f"{', '.join(still)} was not rolled out: revisions {before} before, {after} after"
    evidence(f"{len(places)} Deployments up in {up.seconds:.0f} s, back in {down.seconds:.0f} s; {told}")
