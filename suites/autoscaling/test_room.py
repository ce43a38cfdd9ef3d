"""No node has room for a server that the load needs: that is told as what it is, and heals by itself."""

import pytest

from fixtures.autoscaling import Scaling
from fixtures.verdicts import Evidence
from shakedown.autoscaling import cpu_request
from shakedown.causes import Scene, full_nodes
from shakedown.cluster import Cluster
from shakedown.ledger import now
from shakedown.load import Load
from shakedown.manifests import Stack
from shakedown.settings import Deployment
from shakedown.shapes import lasting
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually
from shakedown.workloads import troubles

pytestmark = [pytest.mark.test_bed, pytest.mark.conformance]
LEFT = 0.5  # of what one server asks for, which a node still has to give
TOLD_S = 10.0  # within which a pod is made, and the scheduler has said that it finds no node
SHORT_S = 1.0
REASON = "can't be scheduled: .*Insufficient cpu"


def pending(cluster: Cluster, scaling: Scaling) -> str:
    """What is said of a server that is on no node. Raises NotYet with what is said of the others instead."""
    found = [each.text for each in troubles(cluster, scaling.namespace, scaling.selector)]
    if not (told := [text for text in found if "can't be scheduled" in text]):
        raise NotYet("; ".join(found) or "every pod is ready")
    return told[0]


@pytest.mark.usefixtures("at_rest")
def test_servers_that_find_no_room_are_reported_as_such_and_come_once_there_is_some(
    scaling: Scaling,
    scene: Scene,
    cluster: Cluster,
    stack: Stack,
    deployment: Deployment,
    load: Load,
    served: int,
    evidence: Evidence,
) -> None:
    """A wait for servers that are pending ends with the scheduler's reason; with room again they serve."""
    wanted = scaling.scaler.least + 1
    left = LEFT * cpu_request(stack.find("Deployment", deployment.workload))
    workers = [node.name for node in cluster.nodes() if not node.control_plane]
    with load.running(lasting(scaling.rate_for(wanted))) as users:
        with full_nodes(scene, workers, left) as full:
            scaling.await_more(scaling.out_within)
            said = eventually(lambda: pending(cluster, scaling), within=TOLD_S, awaited="a pod is told to be pending")
            with pytest.raises(Failed, match=REASON):
                scaling.await_size(wanted, SHORT_S)
        freed = now()
        scaling.await_size(wanted, scaling.out_within)
        window = users.window(users.began, now())
    window.assert_none_failed()
    window.assert_none_wrong({served})
    evidence(f"{full}; {said[:160]}; {wanted} ready {window.end - freed:.1f} s after there was room; {window}")
