"""The model store fails: who serves goes on serving, who starts anew waits, and nobody answers wrongly."""

from dataclasses import dataclass, field

import pytest

from fixtures.faults import Arena, Course, Expected
from fixtures.verdicts import Evidence
from models.build import bundle
from shakedown.cluster import Cluster
from shakedown.cluster.host import on_node
from shakedown.faults.inject import Together
from shakedown.faults.jobs import JobRunAgain
from shakedown.faults.pods import PodDeleted, Victim
from shakedown.faults.store import FileCutShort, StoreFull, StoreLost, VersionPushed
from shakedown.manifests import Stack
from shakedown.pace import Pace
from shakedown.recovery import Snapshot, replaced_pods, rid_of, whole
from shakedown.settings import Deadlines, Deployment
from shakedown.verdict import Failed, Inconclusive

pytestmark = pytest.mark.test_bed
LASTS_S = 15.0  # longer than a server takes to start from a good store
TRIED_AGAIN_S = 30.0  # after a Job's first failure its controller waits 10 s, after its second 20 s


def require_later(course: Course, what: str) -> None:
    """Raise Failed where the server that replaced another was Ready before its store was good again."""
    if course.stages.replaced is None:
        raise Inconclusive("no server was seen to take the victim's place")
    early = course.undone - course.stages.replaced
    if early > 0:
        raise Failed(f"a new server was Ready {early:.1f} s before {what}; see readinessProbe and startupProbe")


def test_server_that_starts_on_a_spoiled_model_waits_and_the_others_serve_on(
    arena: Arena, victim: Victim, deployment: Deployment, served: int, pace: Pace, evidence: Evidence
) -> None:
    """A model file is cut short and a server replaced: the new one is not Ready before the file is whole again."""
    file = f"{deployment.model}/{served}/saved_model.pb"
    spoiled = FileCutShort(victim.cluster, deployment.namespace, file)
    gone = Expected(rid_of([victim.pod.name], victim.out_of - 1), pace.drained)
    back = Expected(whole(victim.out_of), pace.restarted)
    course = arena.run(Together((spoiled, PodDeleted(victim))), {victim.pod.name}, gone, back, LASTS_S)
    require_later(course, "its file was whole again")
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
    require_later(course, "its store was back")
    course.require_no_loss()
    evidence(course.told())


@pytest.mark.conformance
def test_half_copied_version_is_served_by_nobody(
    arena: Arena, victim: Victim, deployment: Deployment, served: int, pace: Pace, evidence: Evidence
) -> None:
    """A version without its variables comes into the store under load: the good one serves on, and nothing else.

    That each server tries it and refuses it is asked in suites/prediction.
    """
    source = bundle() / "spoiled" / "no-variables"
    fault = VersionPushed(victim.cluster, deployment.namespace, source, deployment.model, served + 1)
    there = Expected(whole(victim.out_of), pace.withdrawn)
    course = arena.run(fault, set(), there, lasting=LASTS_S)
    course.require_no_loss()
    evidence(course.told())


@dataclass(frozen=True)
class Import:
    """An import that is run again while its store is full, and what the nodes then held where servers look."""

    job: JobRunAgain
    full: tuple[StoreFull, ...]
    model: str
    held: dict[str, list[str]] = field(default_factory=dict)

    def refused(self, _: Snapshot) -> str:
        """An attempt has failed; what the nodes hold then is kept."""
        if not self.job.status().get("failed"):
            return f"Job {self.job.target} has not failed: {self.job.status()}"
        for store in self.full:
            served = ("-path", f"{store.path}/{self.model}/*", "-type", "f")
            self.held[store.node] = on_node(store.cluster, store.node, "find", store.path, *served).split()
        return ""

    def complete(self, _: Snapshot) -> str:
        """An attempt has ended well."""
        status = self.job.status()
        return "" if status.get("succeeded") else f"Job {self.job.target} is not complete: {status}"


@pytest.fixture
def starved(cluster: Cluster, stack: Stack, deployment: Deployment, deadlines: Deadlines) -> Import:
    """The import Job, and no room on any node that may run it."""
    workers = [node.name for node in cluster.nodes() if not node.control_plane]
    job = JobRunAgain(cluster, stack.find("Job", "model-import"), deadlines.pods)
    return Import(job, tuple(StoreFull(cluster, deployment.namespace, worker) for worker in workers), deployment.model)


@pytest.mark.conformance
def test_import_into_a_full_store_puts_nothing_before_the_servers_and_is_made_good(
    arena: Arena, starved: Import, pace: Pace, evidence: Evidence
) -> None:
    """A version that doesn't fit is not seen in the store, nor half of it; with room again the import ends well."""
    full = Together((*starved.full, starved.job))
    again = Expected(starved.complete, TRIED_AGAIN_S + pace.replaced)
    course = arena.run(full, set(), Expected(starved.refused, pace.replaced), again)
    said, left = starved.job.said(), [file for files in starved.held.values() for file in files]
    assert "No space left" in said, f"the import failed for another reason: {said.strip()[:500]}"
    assert not left, f"{left} are left where servers look: copy beside the store's folder and rename"
    assert replaced_pods(course.before, course.last) == (set(), set())
    course.require_no_loss()
    evidence(f"{course.told()}; {said.strip().splitlines()[0]}")
