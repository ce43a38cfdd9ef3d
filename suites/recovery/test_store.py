"""The model store fails: who serves goes on serving, who starts anew waits, and nobody answers wrongly."""

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from models.build import bundle
from shakedown.cluster import Cluster
from shakedown.faults.inject import Together
from shakedown.faults.pods import PodDeleted, Victim
from shakedown.faults.store import FileCutShort, StoreLost, VersionPushed
from shakedown.pace import Pace
from shakedown.recovery import rid_of, whole
from shakedown.settings import Deployment

pytestmark = pytest.mark.test_bed
LASTS_S = 15.0  # longer than a server takes to start from a good store


def test_server_that_starts_on_a_spoiled_model_waits_and_the_others_serve_on(
    arena: Arena, victim: Victim, deployment: Deployment, served: int, pace: Pace, evidence: Evidence
) -> None:
    """A model file is cut short and a server replaced: the new one is not Ready before the file is whole again."""
    file = f"{deployment.model}/{served}/saved_model.pb"
    spoiled = FileCutShort(victim.cluster, deployment.namespace, file)
    gone = Expected(rid_of([victim.pod.name], victim.out_of - 1), pace.drained)
    back = Expected(whole(victim.out_of), pace.restarted)
    course = arena.run(Together((spoiled, PodDeleted(victim))), {victim.pod.name}, gone, back, LASTS_S)
    assert course.stages.replaced is not None
    assert course.stages.replaced > LASTS_S, f"a server was Ready {course.stages.replaced:.1f} s after its file was cut"
    course.require_no_loss()
    evidence(course.told())


@pytest.mark.conformance
def test_server_that_starts_without_a_store_waits_and_the_others_serve_on(
    arena: Arena, victim: Victim, cluster: Cluster, deployment: Deployment, pace: Pace, evidence: Evidence
) -> None:
    """The workers lose the store and a server is replaced: the new one is not Ready before the store is back."""
    workers = [node.name for node in cluster.nodes() if not node.control_plane]
    lost = [StoreLost(cluster, deployment.namespace, node) for node in workers]
    gone = Expected(rid_of([victim.pod.name], victim.out_of - 1), pace.drained)
    # what a container has mounted stays mounted: it must run into its startup probe and be started again
    back = Expected(whole(victim.out_of), pace.starting + pace.drained)
    course = arena.run(Together((*lost, PodDeleted(victim))), {victim.pod.name}, gone, back, LASTS_S)
    assert course.stages.replaced is not None
    assert course.stages.replaced > LASTS_S, f"a server was Ready {course.stages.replaced:.1f} s after its store went"
    course.require_no_loss()
    evidence(course.told())


@pytest.mark.conformance
def test_half_copied_version_is_served_by_nobody(
    arena: Arena, victim: Victim, deployment: Deployment, served: int, pace: Pace, evidence: Evidence
) -> None:
    """A version that comes without its variables is refused by every server under load, and the good one serves on."""
    source = bundle() / "spoiled" / "no-variables"
    fault = VersionPushed(victim.cluster, deployment.namespace, source, deployment.model, served + 1)
    there = Expected(whole(victim.out_of), pace.withdrawn)
    course = arena.run(fault, set(), there, lasting=LASTS_S)
    course.require_no_loss()
    evidence(course.told())
