"""What serves nobody itself goes away: users don't notice, or for no longer than it takes to start it again."""

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.api_paths import deployment_path
from shakedown.cluster import Cluster
from shakedown.faults.inject import Together
from shakedown.faults.names import names_wrong
from shakedown.faults.pods import PodDeleted, Victim
from shakedown.faults.workloads import ProcessKilled, process_named, scaled_to_nothing
from shakedown.manifests import lateness_of_rollout
from shakedown.pace import Pace
from shakedown.recovery import Done, Snapshot, replaced_pods, rid_of, whole
from shakedown.serving import Pod

API_SERVER = "kube-apiserver"
DNS = "kube-system", "coredns"
METRICS = ("kube-system", "metrics-server"), ("monitoring", "prometheus-adapter")
LASTS_S = 5.0  # of predictions without it


def back(cluster: Cluster, place: tuple[str, str], count: int) -> Done:
    """A Deployment is rolled out again, and the Service leads to all servers."""

    def lacking(seen: Snapshot) -> str:
        return lateness_of_rollout("Deployment", place[1], cluster.get(deployment_path(*place))) or whole(count)(seen)

    return lacking


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
    steady, again = whole(len(servers)), back(cluster, DNS, len(servers))
    fault = scaled_to_nothing(cluster, *DNS)
    course = arena.run(fault, set(), Expected(steady, pace.replaced), Expected(again, pace.replaced), LASTS_S)
    course.require_no_loss()
    evidence(course.told())


@pytest.mark.test_bed
@pytest.mark.conformance
def test_names_that_lead_astray_harm_no_prediction(
    arena: Arena, cluster: Cluster, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """While DNS answers wrongly a server drains and another takes its place, and every prediction is right."""
    both = Together((names_wrong(cluster), PodDeleted(victim)))
    gone = Expected(rid_of([victim.pod.name], victim.out_of), pace.drained)
    again = Expected(back(cluster, DNS, victim.out_of), pace.drained)
    course = arena.run(both, {victim.pod.name}, gone, again)
    assert replaced_pods(course.before, course.last)[0] == {victim.pod.name}
    course.require_no_loss()
    evidence(course.told())


@pytest.mark.test_bed
@pytest.mark.conformance
@pytest.mark.parametrize("place", METRICS, ids="/".join)
def test_metrics_that_stop_coming_harm_no_prediction(
    arena: Arena, cluster: Cluster, servers: list[Pod], pace: Pace, evidence: Evidence, place: tuple[str, str]
) -> None:
    """While a part of the metrics' pipeline is away, servers and gateway serve on.

    What the autoscaler makes of it is asked in suites/autoscaling: here it is held at one size, as under every fault.
    """
    steady, again = whole(len(servers)), back(cluster, place, len(servers))
    fault = scaled_to_nothing(cluster, *place)
    course = arena.run(fault, set(), Expected(steady, pace.replaced), Expected(again, pace.replaced), LASTS_S)
    assert replaced_pods(course.before, course.last) == (set(), set())
    course.require_no_loss()
    evidence(course.told())
