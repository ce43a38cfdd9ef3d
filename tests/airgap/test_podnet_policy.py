"""What NetworkPolicies compile to."""

from typing import Any

import pytest

from airgap.podnet.policy import holds, ruleset
from airgap.podnet.state import Object, state_of

NODE, CIDR, SUBNET = "here", "10.244.1.0/24", "10.244.0.0/16"


def pod(name: str, ip: str, namespace: str = "a", node: str = NODE, **more: Any) -> Object:
    ports = [{"name": "web", "containerPort": more.pop("web", 80)}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [{"ports": ports}], **more.pop("spec", {})},
        "status": {"podIP": ip, "phase": "Running", **more.pop("status", {})},
    }


def policy(way: str, *rules: Object, selector: Object | None = None) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "a"},
        "spec": {"podSelector": selector or {}, "policyTypes": [way.capitalize()], way: list(rules)},
    }


SERVER = pod("server", "10.244.1.2")
FAR = pod("far", "10.244.2.3", node="there", web=8080)
STRANGER = pod("stranger", "10.244.2.9", namespace="b", node="there")
SPACES: list[Object] = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b", "labels": {"team": "u"}}}]


def rules(*policies: Object, pods: tuple[Object, ...] = (SERVER, FAR, STRANGER)) -> list[str]:
    return ruleset(state_of(pods, SPACES, policies), NODE, CIDR, SUBNET).splitlines()


def chain(name: str, lines: list[str]) -> list[str]:
    start = lines.index(f"chain {name} {{")
    return lines[start + 1 : lines.index("}", start)]


def test_without_policies_only_unknown_addresses_of_this_node_are_closed() -> None:
    forward = chain("forward", rules())
    assert forward[1:] == [
        "ct state established,related accept",
        f"ip saddr {CIDR} ip saddr != {{ 10.244.1.2 }} drop",
        f"ip daddr {CIDR} ip daddr != {{ 10.244.1.2 }} drop",
    ]


def test_nothing_is_filtered_before_the_cluster_has_been_listed() -> None:
    assert not [line for line in ruleset(None, NODE, CIDR, SUBNET).splitlines() if "drop" in line]


def test_only_what_leaves_the_pod_subnet_is_masqueraded() -> None:
    assert f"ip saddr {CIDR} ip daddr != {SUBNET} masquerade" in chain("postrouting", rules())


def test_default_deny_drops_all_but_the_pod_itself() -> None:
    lines = rules(policy("ingress"))
    assert chain("ingress_10_244_1_2", lines) == ["ip saddr 10.244.1.2 return", "counter drop"]
    assert "ip daddr vmap { 10.244.1.2 : jump ingress_10_244_1_2 }" in chain("forward", lines)


def test_a_policy_isolates_no_pod_of_another_namespace_or_node() -> None:
    other = pod("other", "10.244.1.7", namespace="b")
    lines = rules(policy("ingress"), pods=(SERVER, FAR, other))
    assert [line for line in lines if line.startswith("chain ingress_")] == ["chain ingress_10_244_1_2 {"]


def test_a_policy_leaves_the_other_direction_open() -> None:
    assert not [line for line in rules(policy("ingress")) if line.startswith("chain egress_")]


def test_a_rule_without_peers_lets_everyone_through() -> None:
    lines = rules(policy("ingress", {"ports": [{"port": 8500}]}))
    assert chain("ingress_10_244_1_2", lines)[1] == "meta l4proto tcp th dport 8500 return"


def test_an_empty_rule_lets_everything_through() -> None:
    assert chain("egress_10_244_1_2", rules(policy("egress", {})))[1] == "return"


def test_a_pod_selector_alone_means_the_policys_namespace() -> None:
    lines = rules(policy("ingress", {"from": [{"podSelector": {}}]}))
    assert chain("ingress_10_244_1_2", lines)[1] == "ip saddr { 10.244.1.2, 10.244.2.3 } return"


def test_namespace_and_pod_selector_of_one_peer_must_both_hold() -> None:
    team = {"matchLabels": {"team": "u"}}
    both = {"namespaceSelector": team, "podSelector": {"matchLabels": {"app": "far"}}}
    assert chain("ingress_10_244_1_2", rules(policy("ingress", {"from": [both]})))[1:] == ["counter drop"]
    lines = rules(policy("ingress", {"from": [{"namespaceSelector": team}]}))
    assert chain("ingress_10_244_1_2", lines)[1] == "ip saddr { 10.244.2.9 } return"


def test_peers_of_one_rule_add_up() -> None:
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    far = {"podSelector": {"matchLabels": {"app": "far"}}}
    lines = rules(policy("egress", {"to": [block, far], "ports": [{"port": 53, "protocol": "UDP"}]}))
    assert chain("egress_10_244_1_2", lines)[1:3] == [
        "ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16 } meta l4proto udp th dport 53 return",
        "ip daddr { 10.244.2.3 } meta l4proto udp th dport 53 return",
    ]


def test_a_block_of_ipv6_lets_nothing_through() -> None:
    lines = rules(policy("egress", {"to": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}))
    assert chain("egress_10_244_1_2", lines)[1:] == ["counter drop"]


def test_a_named_port_of_ingress_is_the_isolated_pods_own() -> None:
    lines = rules(policy("ingress", {"ports": [{"port": "web"}]}))
    assert chain("ingress_10_244_1_2", lines)[1] == "meta l4proto tcp th dport 80 return"


def test_a_named_port_of_egress_is_looked_up_in_each_target() -> None:
    lines = rules(policy("egress", {"ports": [{"port": "web"}]}))
    assert chain("egress_10_244_1_2", lines)[1:4] == [
        "ip daddr 10.244.1.2 meta l4proto tcp th dport 80 return",
        "ip daddr 10.244.2.3 meta l4proto tcp th dport 8080 return",
        "ip daddr 10.244.2.9 meta l4proto tcp th dport 80 return",
    ]


def test_a_port_name_that_the_receiver_lacks_lets_nothing_through() -> None:
    lines = rules(policy("ingress", {"ports": [{"port": "grpc"}]}))
    assert chain("ingress_10_244_1_2", lines)[1:] == ["counter drop"]


def test_a_port_range_keeps_both_ends() -> None:
    lines = rules(policy("ingress", {"ports": [{"port": 8500, "endPort": 8501}]}))
    assert chain("ingress_10_244_1_2", lines)[1] == "meta l4proto tcp th dport 8500-8501 return"


@pytest.mark.parametrize(
    "gone",
    [
        pod("server", "10.244.1.2", status={"phase": "Succeeded"}),
        pod("server", "10.244.1.2", spec={"hostNetwork": True}),
        pod("server", "10.244.1.2", status={"podIP": None}),
    ],
    ids=["finished", "host network", "no address yet"],
)
def test_a_pod_without_an_address_of_its_own_has_no_chain(gone: Object) -> None:
    assert not [line for line in rules(policy("ingress"), pods=(gone, FAR)) if line.startswith("chain ingress")]


@pytest.mark.parametrize(
    ("operator", "values", "held"),
    [
        ("In", ["x", "y"], True),
        ("In", ["y"], False),
        ("NotIn", ["y"], True),
        ("NotIn", ["x"], False),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
    ],
)
def test_each_operator_of_a_selector_means_what_the_api_says(
    operator: str,
    values: list[str] | None,
    held: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    assert holds({"key": "app", "operator": operator, "values": values}, {"app": "x"}) is held


@pytest.mark.parametrize(
    ("operator", "held"), [("In", False), ("NotIn", True), ("Exists", False), ("DoesNotExist", True)]
)
def test_a_missing_label_is_in_no_set(operator: str, held: bool) -> None:  # noqa: FBT001 - as above
    assert holds({"key": "app", "operator": operator, "values": ["x"]}, {}) is held
