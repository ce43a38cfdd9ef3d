from typing import Any

import pytest

from shakedown.lint.objects import Inventory, Obj
from shakedown.lint.reach import Network, Pod

SERVER = Pod("server", "serving", {"app": "server"}, {"rest": 8501})
DOOR = Pod("door", "gateway", {"app": "door"})
STRANGER = Pod("stranger", "elsewhere", {"app": "stranger"})
OUTSIDE = Pod("outside", address="203.0.113.7")
BLOCK = {"cidr": "203.0.113.0/24", "except": ["203.0.113.7/32"]}


def network(*policies: dict[str, Any]) -> Network:
    namespaces = [
        Obj({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}}, "", cluster_scoped=True)
        for n in ("serving", "gateway")
    ]
    made = [
        Obj({"kind": "NetworkPolicy", "metadata": {"name": str(n), "namespace": "serving"}, "spec": spec}, "")
        for n, spec in enumerate(policies)
    ]
    return Network(Inventory([*namespaces, *made]))


def admits(rule: dict[str, Any]) -> dict[str, Any]:
    return {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [rule]}


FROM_GATEWAY = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateway"}}}


@pytest.mark.parametrize(
    ("policies", "source", "allowed"),
    [
        ([], STRANGER, True),
        ([{"podSelector": {}, "policyTypes": ["Ingress"]}], DOOR, False),
        ([{"podSelector": {"matchLabels": {"app": "other"}}, "policyTypes": ["Ingress"]}], STRANGER, True),
        ([{"podSelector": {}, "policyTypes": ["Egress"]}], STRANGER, True),
        ([admits({})], OUTSIDE, True),
        ([admits({"from": [FROM_GATEWAY]})], DOOR, True),
        ([admits({"from": [FROM_GATEWAY]})], STRANGER, False),
        ([admits({"from": [{**FROM_GATEWAY, "podSelector": {"matchLabels": {"app": "other"}}}]})], DOOR, False),
        ([admits({"from": [FROM_GATEWAY, {"podSelector": {"matchLabels": {"app": "door"}}}]})], DOOR, True),
        ([admits({"from": [{"podSelector": {"matchLabels": {"app": "door"}}}]})], DOOR, False),
        ([admits({"ports": [{"port": "rest"}]})], DOOR, True),
        ([admits({"ports": [{"port": "grpc"}]})], DOOR, False),
        ([admits({"ports": [{"port": 8000, "endPort": 8600}]})], DOOR, True),
        ([admits({"ports": [{"port": 8501, "protocol": "UDP"}]})], DOOR, False),
        ([admits({"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]})], OUTSIDE, True),
        ([admits({"from": [{"ipBlock": BLOCK}]})], OUTSIDE, False),
        ([{"podSelector": {}, "policyTypes": ["Ingress"]}, admits({"from": [FROM_GATEWAY]})], DOOR, True),
    ],
)
def test_ingress_is_judged_as_kubernetes_defines_it(
    policies: list[dict[str, Any]], source: Pod, *, allowed: bool
) -> None:
    """What selects a pod isolates it, rules add up, selectors of one peer must all hold."""
    assert network(*policies).reach(source, SERVER, 8501).allowed is allowed


def test_a_connection_needs_egress_there_and_ingress_here() -> None:
    closed = network({"podSelector": {}, "policyTypes": ["Egress"]})
    assert not closed.reach(SERVER, DOOR, 80).allowed
    assert [str(p) for p in closed.reach(SERVER, DOOR, 80).blocked_by] == ["NetworkPolicy serving/0"]


def test_a_policy_without_types_isolates_ingress_and_egress_only_where_it_has_egress_rules() -> None:
    assert network({"podSelector": {}}).reach(SERVER, STRANGER, 80).allowed
    assert not network({"podSelector": {}, "egress": []}).reach(SERVER, STRANGER, 80).allowed
