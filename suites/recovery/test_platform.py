"""What serves nobody itself goes away: users don't notice, or for no longer than it takes to start it again."""

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.faults.workloads import ProcessKilled, deployment_path, process_named, scaled_to_nothing
from shakedown.manifests import lateness_of_rollout
from shakedown.pace import Pace
from shakedown.recovery import Snapshot, whole
from shakedown.serving import Pod

API_SERVER = "kube-apiserver"
DNS = "kube-system", "coredns"
LASTS_S = 5.0  # of predictions without it


@pytest.mark.test_bed
def test_api_server_that_is_killed_harms_no_prediction(
    arena: Arena, cluster: Cluster, servers: list[Pod], pace: Pace, evidence: Evidence
) -> None:
    """While the control plane is away and comes back, servers and gateway go on with what they know."""
    node = next(node.name for node in cluster.nodes() if node.control_plane)
    old = process_named(cluster, node, API_SERVER)[0]

    def anew(seen: Snapshot) -> str:
        found = process_named(cluster, node, API_SERVER)
        if not found or old in found:
            return f"{API_SERVER} has not been started again"
        return cluster.silence() or whole(len(servers))(seen)

    course = arena.run(ProcessKilled(cluster, node, API_SERVER, old), set(), Expected(anew, pace.replaced))
    course.require_no_loss()
    evidence(course.told())


@pytest.mark.test_bed
def test_dns_outage_harms_no_prediction(
    arena: Arena, cluster: Cluster, servers: list[Pod], pace: Pace, evidence: Evidence
) -> None:
    """Serving looks up no names: without DNS predictions go on, and it comes back."""
    path = deployment_path(*DNS)

    def back(seen: Snapshot) -> str:
        return lateness_of_rollout("Deployment", DNS[1], cluster.get(path)) or whole(len(servers))(seen)

    fault = scaled_to_nothing(cluster, *DNS)
    course = arena.run(
        fault, set(), Expected(whole(len(servers)), pace.replaced), Expected(back, pace.replaced), LASTS_S
    )
    course.require_no_loss()
    evidence(course.told())
