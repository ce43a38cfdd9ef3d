"""A node is taken out of service, by plan or without notice, and its servers are made up for elsewhere."""

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.faults.nodes import Doomed, NodeDrained, NodeFrozen, NodePartitioned, NodeStopped, PodsEvicted
from shakedown.pace import CONTROL_S, Pace
from shakedown.recovery import made_up_for, rid_of
from shakedown.serving import Pod
from shakedown.settings import Deployment
from shakedown.verdict import Inconclusive

GRANTED, REFUSED = 201, 429


@pytest.mark.test_bed
@pytest.mark.usefixtures("spread_again")
def test_drained_node_gives_up_its_servers_without_a_failed_or_wrong_prediction(
    arena: Arena, doomed: Doomed, pace: Pace, evidence: Evidence
) -> None:
    """A node that is drained loses its servers no faster than others take their place, and no prediction fails."""
    names = {pod.name for pod in doomed.pods}
    fault = NodeDrained(doomed, [])
    course = arena.run(fault, names, Expected(rid_of(names, doomed.out_of), pace.drained))
    least = arena.fewest(course.fault.at)
    assert least >= doomed.out_of - 1, f"only {least} of {doomed.out_of} servers were left; see the PodDisruptionBudget"
    course.require_no_loss()
    evidence(f"{course.told()}; never fewer than {least} of {doomed.out_of} servers")


@pytest.mark.touches("Pods of Deployment {d.namespace}/{d.workload}: one is evicted, a second eviction is asked for")
def test_second_eviction_at_once_is_refused(
    arena: Arena, cluster: Cluster, servers: list[Pod], deployment: Deployment, pace: Pace, evidence: Evidence
) -> None:
    """Of two servers whose eviction is asked for at the same moment, the disruption budget gives up only one."""
    if len(servers) < 2:
        raise Inconclusive(
            f"Deployment {deployment.workload} has {len(servers)} server, two evictions at once need two"
        )
    first, second = servers[:2]
    fault = PodsEvicted(Doomed(cluster, deployment.namespace, first.node, (first, second), len(servers)), [])
    course = arena.run(fault, {first.name}, Expected(rid_of([first.name], len(servers)), pace.drained))
    assert fault.answers == [GRANTED, REFUSED], (
        f"evictions of {first.name} and {second.name} at once were answered {fault.answers}, wanted are 201 (granted) "
        "and 429 (refused); see the PodDisruptionBudget"
    )
    assert second.uid in {pod.uid for pod in course.last.pods}, f"{second.name} went although it was not evicted"
    course.require_no_loss()
    evidence(course.told())


@pytest.mark.test_bed
@pytest.mark.usefixtures("spread_again")
def test_servers_of_a_frozen_node_are_made_up_for_on_others(
    arena: Arena, doomed: Doomed, pace: Pace, evidence: Evidence
) -> None:
    """Servers of a node that stands still are made up for once it is missed, and gone once it is back."""
    names = {pod.name for pod in doomed.pods}
    meanwhile = Expected(made_up_for(names, doomed.out_of), pace.moved)
    course = arena.run(NodeFrozen(doomed), names, meanwhile, Expected(rid_of(names, doomed.out_of), pace.drained))
    course.require_loss_below(lost_node_bound(arena, doomed, pace))
    evidence(course.told())


@pytest.mark.test_bed
@pytest.mark.conformance
@pytest.mark.usefixtures("spread_again")
def test_servers_of_a_stopped_node_are_made_up_for_on_others(
    arena: Arena, doomed: Doomed, pace: Pace, evidence: Evidence
) -> None:
    """A node that is switched off is made up for elsewhere, and takes servers again once it is back."""
    names = {pod.name for pod in doomed.pods}
    meanwhile = Expected(made_up_for(names, doomed.out_of), pace.moved)
    course = arena.run(NodeStopped(doomed), names, meanwhile, Expected(rid_of(names, doomed.out_of), pace.drained))
    course.require_loss_below(lost_node_bound(arena, doomed, pace))
    evidence(course.told())


@pytest.mark.test_bed
@pytest.mark.conformance
@pytest.mark.usefixtures("spread_again")
def test_servers_of_a_node_that_is_cut_off_are_made_up_for_on_others(
    arena: Arena, doomed: Doomed, pace: Pace, evidence: Evidence
) -> None:
    """Servers that run on where nobody reaches them are made up for elsewhere, and gone once the node is back."""
    names = {pod.name for pod in doomed.pods}
    meanwhile = Expected(made_up_for(names, doomed.out_of), pace.moved)
    course = arena.run(NodePartitioned(doomed), names, meanwhile, Expected(rid_of(names, doomed.out_of), pace.drained))
    course.require_loss_below(lost_node_bound(arena, doomed, pace))
    evidence(course.told())


def lost_node_bound(arena: Arena, doomed: Doomed, pace: Pace) -> float:
    """What a lost node may cost at the most: its servers' share of what is sent until the control plane misses it."""
    return arena.rate * len(doomed.pods) / doomed.out_of * (pace.missing + CONTROL_S)
