"""Releases in the middle of the load: a good one goes through, a bad one stops at its first pod."""

from typing import Any

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.api_paths import deployment_path
from shakedown.cluster import Cluster
from shakedown.faults.workloads import rolled_out_with
from shakedown.manifests import lateness_of_rollout
from shakedown.pace import Pace
from shakedown.recovery import Done, Snapshot, replaced_pods, rid_of, whole
from shakedown.serving import Pod
from shakedown.settings import Deployment

pytestmark = pytest.mark.touches("Deployment {d.namespace}/{d.workload}: another pod template, then put back")

REVISION = "shakedown.dev/revision"
BROKEN = "--model_config_file=/etc/serving/no-such-file"


def marked(template: dict[str, Any]) -> None:
    """Another revision of the same thing."""
    template["metadata"].setdefault("annotations", {})[REVISION] = "rolled-out"


def broken(template: dict[str, Any]) -> None:
    """A server that ends at once."""
    arguments = template["spec"]["containers"][0]["args"]
    arguments[:] = [BROKEN if each.startswith("--model_config_file") else each for each in arguments]


def settled(cluster: Cluster, deployment: Deployment, count: int) -> Done:
    """The Deployment's latest template is out, all pods of others are gone, and the Service leads to all."""
    path = deployment_path(deployment.namespace, deployment.workload)

    def lacking(seen: Snapshot) -> str:
        return lateness_of_rollout("Deployment", deployment.workload, cluster.get(path)) or whole(count)(seen)

    return lacking


def test_rollout_under_load_and_back_without_a_failed_or_wrong_prediction(
    arena: Arena, cluster: Cluster, servers: list[Pod], deployment: Deployment, pace: Pace, evidence: Evidence
) -> None:
    """Every server is replaced by a release and again by its roll-back, one by one, and no prediction fails."""
    names = {pod.name for pod in servers}
    fault = rolled_out_with(cluster, deployment.namespace, deployment.workload, marked)
    out = Expected(rid_of(names, len(servers)), len(servers) * pace.drained)
    back = Expected(settled(cluster, deployment, len(servers)), len(servers) * pace.drained)
    course = arena.run(fault, names, out, back)
    least = arena.fewest(course.fault.at)
    assert least >= len(servers), f"only {least} of {len(servers)} servers were left; see the roll-out's maxUnavailable"
    course.require_no_loss()
    evidence(f"{course.told()}; never fewer than {least} servers")


def test_release_that_does_not_start_harms_nobody(
    arena: Arena, cluster: Cluster, servers: list[Pod], deployment: Deployment, pace: Pace, evidence: Evidence
) -> None:
    """A release whose server ends at once stops at its first pod; the old ones serve on, and it is taken back."""
    fault = rolled_out_with(cluster, deployment.namespace, deployment.workload, broken)
    known = {pod.name for pod in servers}

    def crashed(seen: Snapshot) -> str:
        fresh = [pod for pod in seen.pods if pod.name not in known]
        return "" if any(pod.run for pod in fresh) else f"{len(fresh)} new pods, none has crashed yet"

    back = Expected(settled(cluster, deployment, len(servers)), pace.drained)
    course = arena.run(fault, set(), Expected(crashed, pace.replaced), back)
    assert replaced_pods(course.before, course.last) == (set(), set()), "old servers went for a release that is broken"
    course.require_no_loss()
    evidence(course.told())
