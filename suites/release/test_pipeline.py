"""The deploy pipeline as a CI job runs it: what is good gets through, what isn't is undone, and users never pay."""

from pathlib import Path

import pytest

from fixtures.release import CONTAINER, IMAGE, Rehearsal
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.manifests import running_images
from shakedown.settings import Deployment

pytestmark = [pytest.mark.test_bed, pytest.mark.usefixtures("put_back")]  # other people's nodes get no image
IMAGES = Path(__file__).parent / "images"
DEADLINE_S = 15.0  # of a roll-out that hangs: its first pod runs after 3 s, on a busy machine after 8
OLD = 1  # the version that the image `other-version` serves
NOWHERE = "127.0.0.1:1/released:never-pushed"  # on a node, nobody listens there


def test_good_release_is_rolled_out_and_verified_and_users_notice_nothing(
    rehearsal: Rehearsal, cluster: Cluster, deployment: Deployment, served: int, verification: str, evidence: Evidence
) -> None:
    """A release is built, delivered, rolled out and verified, all servers run it, and every answer is right."""
    seen = rehearsal.run(*rehearsal.delivered("good", IMAGES / "good"), verification)
    assert seen.code == 0, f"exit code {seen.code}; {seen.told()}"
    assert seen.after.images[CONTAINER] == f"{IMAGE}:good"
    assert seen.after.running == {f"{IMAGE}:good"}
    assert not seen.after.revisions & seen.before.revisions
    assert seen.after.ready == seen.before.ready == len(seen.fresh)
    running = running_images(cluster, [deployment.namespace])
    assert f"{IMAGE}:good" in running, f"the servers run {sorted(running)}"
    assert running[f"{IMAGE}:good"] != running.get(seen.before.images[CONTAINER]), "it runs what ran before"
    seen.require_no_harm({served})
    evidence(seen.told())


def test_release_that_cannot_be_pulled_is_undone(
    rehearsal: Rehearsal, served: int, verification: str, evidence: Evidence
) -> None:
    """An image that no node has and nobody can pull: it is named, no old server goes for it, and it is taken back."""
    seen = rehearsal.run(NOWHERE, verification)
    seen.require_undone()
    seen.require_said("the image can't be pulled")
    assert len(seen.fresh) == 1, f"the release made {len(seen.fresh)} pods, one shows that it can't be pulled"
    seen.require_no_harm({served})
    evidence(seen.told())


def test_release_that_never_gets_ready_is_undone_at_its_deadline(
    rehearsal: Rehearsal, served: int, verification: str, evidence: Evidence
) -> None:
    """A server that starts and never listens: the roll-out's deadline ends it, long before Kubernetes gives up."""
    ordered = rehearsal.delivered("hanging", IMAGES / "hanging")
    seen = rehearsal.run(*ordered, verification, f"--within={DEADLINE_S:g}")
    seen.require_undone()
    seen.require_said(f"is rolled out: not within {DEADLINE_S:g} s")
    seen.require_said("runs but is not Ready")
    seen.require_no_harm({served})
    evidence(seen.told())


def test_release_whose_verification_fails_is_undone(
    rehearsal: Rehearsal, served: int, verification: str, evidence: Evidence
) -> None:
    """Servers that every probe likes serve another version: only the verification sees it, and the release is undone.

    Users had right answers all along, some of the version before.
    """
    seen = rehearsal.run(*rehearsal.delivered("other-version", IMAGES / "other-version"), verification)
    seen.require_undone()
    seen.require_said("rolled out in")
    seen.require_said(f"{served} is not AVAILABLE; serving: [{OLD}]")
    seen.require_no_harm({OLD, served})
    met = seen.traffic.by_version().get(OLD, 0)
    assert met, f"no user met version {OLD}: the release never served, and its verification proves nothing"
    evidence(f"{met} of {seen.traffic.sent} answers were of version {OLD}; {seen.told()}")


@pytest.mark.conformance
def test_release_that_is_cancelled_in_the_middle_is_undone(
    rehearsal: Rehearsal, served: int, verification: str, evidence: Evidence
) -> None:
    """A CI job that is cancelled while its release rolls out leaves what was there before."""
    seen = rehearsal.run(*rehearsal.delivered("cancelled", IMAGES / "good"), verification, cancelled=True)
    seen.require_undone()
    seen.require_said("cancelled by signal")
    seen.require_no_harm({served})
    evidence(seen.told())
