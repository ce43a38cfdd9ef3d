"""NetworkPolicies of networking.k8s.io/v1, compiled to one nftables table for the pods of one node.

IPv4 only: blocks of IPv6 addresses match nothing. Packets are judged after the address translation of Services.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from airgap.podnet.state import Labels, Object, Pod, State

SIDE = {"ingress": "saddr", "egress": "daddr"}  # the other end's address
OWN_SIDE = {"ingress": "daddr", "egress": "saddr"}
PEERS = {"ingress": "from", "egress": "to"}


@dataclass(frozen=True)
class Peers:
    """Whom a rule lets through: everyone, or pods and address blocks (as nft matches)."""

    everyone: bool
    pods: tuple[Pod, ...]
    blocks: tuple[str, ...]


def ruleset(state: State | None, node: str, node_cidr: str, pod_subnet: str) -> str:
    """Input of `nft -f` that replaces the node's table in one transaction.

    `state` is None until everything has been listed once: nothing is filtered till then.
    """
    chains, forward = filters(state, node, node_cidr) if state else ([], [])
    lines = [
        "table ip podnet",
        "delete table ip podnet",
        "table ip podnet {",
        *chains,
        "chain forward {",
        "type filter hook forward priority 5; policy accept;",
        "ct state established,related accept",
        *forward,
        "}",
        "chain postrouting {",
        "type nat hook postrouting priority 110;",
        f"ip saddr {node_cidr} ip daddr != {pod_subnet} masquerade",
        "}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def filters(state: State, node: str, node_cidr: str) -> tuple[list[str], list[str]]:
    """The chains of this node's isolated pods, and the lines of the forward chain that lead there."""
    mine = [pod for pod in state.pods if pod.node == node]
    known = f" ip {{side}} != {{{{ {', '.join(pod.ip for pod in mine)} }}}}" if mine else ""
    # an address whose pod isn't known yet stays closed: the pod may be isolated
    forward = [f"ip {side} {node_cidr}{known.format(side=side)} drop" for side in ("saddr", "daddr")]
    chains: list[str] = []
    for way in ("egress", "ingress"):
        isolated = {pod.ip: chain(way, pod, state) for pod in mine if policies_of(way, pod, state)}
        chains += isolated.values()
        if isolated:
            jumps = ", ".join(f"{ip} : jump {chain_name(way, ip)}" for ip in isolated)
            forward.append(f"ip {OWN_SIDE[way]} vmap {{ {jumps} }}")
    return chains, forward


def chain_name(way: str, ip: str) -> str:
    """The name of a pod's chain."""
    return f"{way}_{ip.replace('.', '_')}"


def chain(way: str, pod: Pod, state: State) -> str:
    """The chain of an isolated pod: what is allowed returns, the rest is dropped."""
    lines = [f"ip {SIDE[way]} {pod.ip} return"]  # a pod always reaches itself
    for policy in policies_of(way, pod, state):
        for rule in policy["spec"].get(way) or []:
            lines += rule_lines(rule, way, pod, state)
    return "\n".join([f"chain {chain_name(way, pod.ip)} {{", *lines, "counter drop", "}"])


def policies_of(way: str, pod: Pod, state: State) -> list[Object]:
    """The policies that isolate the pod in this direction."""
    return [
        policy
        for policy in state.policies
        if policy["metadata"]["namespace"] == pod.namespace
        and way.capitalize() in policy["spec"].get("policyTypes", ["Ingress"])
        and selects(policy["spec"].get("podSelector") or {}, pod.labels)
    ]


def rule_lines(rule: Object, way: str, pod: Pod, state: State) -> Iterator[str]:
    """What one rule allows, as nft rules."""
    peers = peers_of(rule.get(PEERS[way]) or [], way, pod.namespace, state)
    for port in rule.get("ports") or [None]:
        if port is None:
            matches = addresses(peers, way)
        elif way == "egress" and isinstance(port.get("port"), str):
            matches = named_targets(port, state.pods if peers.everyone else peers.pods)
        else:
            match = port_match(port, pod)
            matches = [f"{address} {match}" for address in addresses(peers, way)] if match else []
        yield from (" ".join(f"{match} return".split()) for match in matches)


def addresses(peers: Peers, way: str) -> list[str]:
    """The nft matches of the other end's address."""
    if peers.everyone:
        return [""]
    pods = f"ip {SIDE[way]} {{ {', '.join(pod.ip for pod in peers.pods)} }}"
    return [*peers.blocks, *([pods] if peers.pods else [])]


def named_targets(port: Object, pods: tuple[Pod, ...]) -> list[str]:
    """A port's name means another number in each pod that receives."""
    matches = [(pod, port_match(port, pod)) for pod in pods]
    return [f"ip daddr {pod.ip} {match}" for pod, match in matches if match]


def port_match(port: Object, receiver: Pod) -> str | None:
    """The nft match of one policy port; None when the receiving pod has no port of that name."""
    protocol, number = port.get("protocol", "TCP"), port.get("port")
    if isinstance(number, str):
        number = receiver.ports.get((number, protocol))
        if number is None:
            return None
    match = f"meta l4proto {protocol.lower()}"
    if number is None:
        return match
    return f"{match} th dport {number}-{port['endPort']}" if port.get("endPort") else f"{match} th dport {number}"


def peers_of(peers: list[Object], way: str, namespace: str, state: State) -> Peers:
    """Whom a rule's peers name; a rule without peers names everyone."""
    chosen = (pod for peer in peers if "ipBlock" not in peer for pod in peer_pods(peer, namespace, state))
    pods = {pod.ip: pod for pod in chosen}
    blocks = [block_match(peer["ipBlock"], way) for peer in peers if "ipBlock" in peer]
    return Peers(not peers, tuple(pods[ip] for ip in sorted(pods)), tuple(block for block in blocks if block))


def block_match(block: Object, way: str) -> str:
    """The nft match of an address block; nothing for one of IPv6."""
    if ":" in block["cidr"]:
        return ""
    side = SIDE[way]
    match = f"ip {side} {block['cidr']}"
    return f"{match} ip {side} != {{ {', '.join(block['except'])} }}" if block.get("except") else match


def peer_pods(peer: Object, namespace: str, state: State) -> Iterator[Pod]:
    """The pods that a peer's selectors choose; without a namespaceSelector those of the policy's namespace."""
    for pod in state.pods:
        if "namespaceSelector" in peer:
            inside = selects(peer["namespaceSelector"] or {}, state.namespaces.get(pod.namespace, {}))
        else:
            inside = pod.namespace == namespace
        if inside and selects(peer.get("podSelector") or {}, pod.labels):
            yield pod


def selects(selector: Object, labels: Labels) -> bool:
    """Whether a LabelSelector chooses these labels; an empty one chooses everything."""
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        holds(expression, labels) for expression in expressions
    )


def holds(expression: Object, labels: Labels) -> bool:
    """Whether one of a selector's expressions holds."""
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"no such operator: {expression['operator']}")
