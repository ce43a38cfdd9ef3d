"""What goes well once goes well each time."""

import numpy as np
import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.faults.pods import PodDeleted, Victim
from shakedown.manifests import Stack
from shakedown.pace import Pace
from shakedown.recovery import rid_of
from shakedown.serving import pods, selector_of
from shakedown.settings import Deployment

ROUNDS = 20
IN_FLIGHT = 5  # predictions that one server may have in hand when it dies; each takes some milliseconds


@pytest.mark.conformance
@pytest.mark.timeout(1800)
def test_pod_killed_again_and_again_is_made_up_for_each_time(
    arena: Arena, cluster: Cluster, stack: Stack, deployment: Deployment, pace: Pace, evidence: Evidence
) -> None:
    """Twenty servers end without notice, one after another; each is replaced in time, and hardly anything fails."""
    selector = selector_of(stack.find("Deployment", deployment.workload))
    took, lost = [], []
    with arena.rounds() as rounds:  # what is steady after one kill is so before the next
        for _ in range(ROUNDS):
            servers = pods(cluster, deployment.namespace, selector)
            victim = Victim(cluster, deployment.namespace, servers[0], len(servers))
            replaced = Expected(rid_of([victim.pod.name], victim.out_of), pace.replaced)
            course = rounds.run(PodDeleted(victim, grace=0), {victim.pod.name}, replaced)
            course.require_loss_below(IN_FLIGHT)
            assert course.stages.whole is not None, f"{victim} was never made up for"
            took.append(course.stages.whole)
            lost.append(course.traffic.failed)
    spread = np.quantile(took, [0, 0.5, 0.9, 1])
    evidence(f"{len(took)} kills: whole after {spread.round(1).tolist()} s (least, median, 90 %, most); lost {lost}")
