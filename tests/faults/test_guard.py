"""What faults are refused."""

import pytest

from shakedown.cluster import Cluster
from shakedown.faults.guard import Limits, Radius, Refused, admit
from shakedown.faults.inject import Fault
from shakedown.faults.nodes import Doomed, NodeDrained, NodeFrozen, NodePartitioned, NodeStopped
from tests.faults.conftest import NAMESPACE, Api

LIMITS = Limits(namespaces=2, share=0.67)


def radius(
    *pods: str, out_of: int = 3, namespaces: tuple[str, ...] = (NAMESPACE,), nodes: tuple[str, ...] = ()
) -> Radius:
    return Radius(frozenset(namespaces), frozenset(pods), out_of, frozenset(nodes))


def test_one_pod_may_always_be_hurt_and_the_only_one_too(cluster: Cluster) -> None:
    admit(cluster, Limits(1, 0.1), [], radius("a"))
    admit(cluster, Limits(1, 0.1), [], radius("a", out_of=1))


def test_faults_that_hurt_too_many_pods_together_are_refused(cluster: Cluster) -> None:
    admit(cluster, LIMITS, [radius("a")], radius("b"))
    admit(cluster, LIMITS, [radius("a"), radius("b")], radius("b"))
    with pytest.raises(Refused, match="3 of 3 pods at once, allowed are 67%"):
        admit(cluster, LIMITS, [radius("a"), radius("b")], radius("c"))


def test_faults_in_too_many_namespaces_together_are_refused(cluster: Cluster) -> None:
    going_on = [radius(namespaces=("gateway",)), radius(namespaces=("kube-system",))]
    with pytest.raises(Refused, match="gateway, kube-system, model-serving, allowed are 2"):
        admit(cluster, LIMITS, going_on, radius("a"))


def test_a_cluster_of_somebody_else_must_have_opted_in_and_keeps_its_nodes(foreign: Cluster, api: Api) -> None:
    with pytest.raises(Refused, match=r"lacks the label shakedown\.dev/opt-in=true"):
        admit(foreign, LIMITS, [], radius("a"))
    api.spaces[NAMESPACE]["labels"] = {"shakedown.dev/opt-in": "true"}
    admit(foreign, LIMITS, [], radius("a"))
    with pytest.raises(Refused, match="its nodes are let be"):
        admit(foreign, LIMITS, [], radius("a", nodes=("worker",)))
    with pytest.raises(Refused, match="namespace kube-system of test"):
        admit(foreign, LIMITS, [], radius(namespaces=("kube-system",)))


def test_no_fault_of_a_node_is_admitted_to_a_cluster_of_somebody_else(foreign: Cluster, api: Api) -> None:
    api.spaces[NAMESPACE]["labels"] = {"shakedown.dev/opt-in": "true"}
    doomed = Doomed(foreign, NAMESPACE, "worker", (), 3)
    faults: list[Fault] = [NodeDrained(doomed, []), NodeFrozen(doomed), NodePartitioned(doomed), NodeStopped(doomed)]
    for fault in faults:
        with pytest.raises(Refused, match="its nodes are let be"):
            admit(foreign, LIMITS, [], fault.radius)
