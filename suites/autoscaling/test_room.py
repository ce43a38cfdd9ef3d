"""No node takes a server that the load needs: that is told as what it is, and heals by itself."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fixtures.autoscaling import Scaling
from fixtures.verdicts import Evidence
from shakedown.causes import Scene, changed
from shakedown.cluster import Cluster
from shakedown.ledger import now
from shakedown.load import Load
from shakedown.shapes import LONGEST_S, steady
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually
from shakedown.workloads import troubles

pytestmark = [pytest.mark.test_bed, pytest.mark.conformance]
SCHEDULED_S = 10.0  # within which the scheduler has said that it finds no node
SHORT_S = 1.0


@pytest.fixture
def full(scene: Scene, cluster: Cluster) -> Iterator[ExitStack]:
    """No worker takes a new pod, until the stack is closed."""
    with ExitStack() as closed:
        for node in [each.name for each in cluster.nodes() if not each.control_plane]:
            closed.enter_context(changed(scene, f"/api/v1/nodes/{node}", "/spec/unschedulable", value=True))
        yield closed


@pytest.mark.usefixtures("at_rest")
def test_servers_that_find_no_node_are_reported_as_such_and_come_once_there_is_room(
    full: ExitStack, scaling: Scaling, cluster: Cluster, load: Load, served: int, evidence: Evidence
) -> None:
    """Pods that are pending are called pending, with the scheduler's reason; with room again they serve."""
    wanted = scaling.scaler.least + 1

    def pending() -> str:
        found = [each.text for each in troubles(cluster, scaling.namespace, scaling.selector)]
        if not (told := [text for text in found if "can't be scheduled" in text]):
            raise NotYet("; ".join(found) or "every pod is ready")
        return told[0]

    with load.running(steady(scaling.rate_for(wanted), LONGEST_S)) as users:
        scaling.await_more(scaling.out_within)
        said = eventually(pending, within=SCHEDULED_S, awaited="a pod is told to be pending")
        with pytest.raises(Failed, match="can't be scheduled"):
            scaling.await_size(wanted, SHORT_S)
        full.close()
        freed = now()
        scaling.await_size(wanted, scaling.out_within)
        window = users.window(users.began, now())
    window.assert_none_failed()
    window.assert_none_wrong({served})
    evidence(f"{said[:160]}; {wanted} ready {now() - freed:.1f} s after there was room; {window}")
