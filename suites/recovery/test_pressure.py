"""Servers are short of something, or two things go wrong at once."""

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.faults.inject import Together
from shakedown.faults.neighbours import CpuStarved
from shakedown.faults.pods import ContainerKilled, PodDeleted, Victim
from shakedown.faults.workloads import ProcessKilled, process_named, scaled_to_nothing
from shakedown.pace import Pace
from shakedown.recovery import replaced_pods, restarted_pods, rid_of, run_anew, whole

pytestmark = [pytest.mark.test_bed, pytest.mark.conformance]
API_SERVER = "kube-apiserver"
IN_FLIGHT = 5  # predictions that one server may have in hand when it dies; each takes some milliseconds
LASTS_S = 20.0  # longer than readiness needs to miss a server that is too slow for it


def test_neighbour_that_takes_the_cpu_makes_predictions_slow_and_none_fail(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """Servers that fall back to what they asked for are slower; none is restarted, and no prediction fails."""
    fault = CpuStarved(victim.cluster, "default", victim.pod.node)
    course = arena.run(fault, set(), Expected(whole(victim.out_of), pace.withdrawn), lasting=LASTS_S)
    assert not restarted_pods(course.before, course.last)
    course.require_no_loss()
    evidence(course.told())


def test_pod_deleted_while_dns_is_away_is_replaced_without_a_failed_prediction(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """A server drains and another starts without any name being looked up."""
    away = scaled_to_nothing(victim.cluster, "kube-system", "coredns")
    gone = Expected(rid_of([victim.pod.name], victim.out_of), pace.drained)
    course = arena.run(Together((away, PodDeleted(victim))), {victim.pod.name}, gone)
    assert replaced_pods(course.before, course.last)[0] == {victim.pod.name}
    course.require_no_loss()
    evidence(course.told())


def test_container_killed_together_with_the_api_server_costs_hardly_a_prediction(
    arena: Arena, victim: Victim, cluster: Cluster, pace: Pace, evidence: Evidence
) -> None:
    """While nobody can withdraw a dead server, the gateway's retries find the others, and it runs anew."""
    node = next(node.name for node in cluster.nodes() if node.control_plane)
    control = ProcessKilled(cluster, node, API_SERVER, process_named(cluster, node, API_SERVER)[0])
    both = Together((control, ContainerKilled(victim, victim.processes())))
    anew = Expected(run_anew(victim.pod.name, victim.pod.restarts, victim.out_of), pace.replaced)
    course = arena.run(both, {victim.pod.name}, anew)
    assert restarted_pods(course.before, course.last) == {victim.pod.name}
    course.require_loss_below(IN_FLIGHT)
    evidence(course.told())
