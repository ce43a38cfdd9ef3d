import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from shakedown.lint.objects import Inventory, Json, Obj, Tree, dig, matches, trees


@dataclass(frozen=True)
class Pod:
    """One end of a connection: a pod by its namespace and labels, or an address outside the cluster."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    ports: dict[str | int, int] = field(default_factory=dict)
    address: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a connection is let through, and if not, the policies that stopped it."""

    allowed: bool
    blocked_by: tuple[Obj, ...] = ()


class Network:
    """NetworkPolicies as Kubernetes defines them: what selects a pod isolates it, and rules add up."""

    def __init__(self, inventory: Inventory) -> None:
        self._namespaces = inventory.namespaces
        self._policies: dict[str, list[Obj]] = {}
        for policy in inventory.of("NetworkPolicy"):
            self._policies.setdefault(policy.namespace, []).append(policy)

    def reach(self, source: Pod, target: Pod, port: int, protocol: str = "TCP") -> Verdict:
        """Whether source may open a connection to the target's port: egress there and ingress here."""
        stopped = (
            *self._stops("egress", source, target, (target, port, protocol)),
            *self._stops("ingress", target, source, (target, port, protocol)),
        )
        return Verdict(not stopped, stopped)

    def isolating(self, direction: str, pod: Pod) -> list[Obj]:
        """The policies that isolate a pod in one direction, `ingress` or `egress`."""
        return (
            []
            if pod.address
            else [p for p in self._policies.get(pod.namespace, []) if self._isolates(p, direction, pod)]
        )

    def _isolates(self, policy: Obj, direction: str, pod: Pod) -> bool:
        default = ["Ingress", "Egress"] if "egress" in policy.spec else ["Ingress"]
        types = policy.spec.get("policyTypes") or default
        return direction.capitalize() in types and matches(policy.spec.get("podSelector"), pod.labels)

    def _stops(self, direction: str, pod: Pod, peer: Pod, to: tuple[Pod, int, str]) -> Iterator[Obj]:
        policies = self.isolating(direction, pod)
        if not any(self._admits(rule, policy, direction, peer, to) for policy, rule in _rules(policies, direction)):
            yield from policies

    def _admits(self, rule: Tree, policy: Obj, direction: str, peer: Pod, to: tuple[Pod, int, str]) -> bool:
        peers = trees(rule.get("from" if direction == "ingress" else "to"))
        if peers and not any(self.is_peer(each, policy.namespace, peer) for each in peers):
            return False
        ports = trees(rule.get("ports"))
        return not ports or any(_is_port(each, *to) for each in ports)

    def is_peer(self, selector: Tree, namespace: str, pod: Pod) -> bool:
        """Whether a peer of a policy in a namespace is this pod."""
        if "ipBlock" in selector:
            return bool(pod.address) and _in_block(selector["ipBlock"], pod.address)
        if pod.address:
            return False
        if "namespaceSelector" in selector:
            labels = self._namespaces.get(pod.namespace, {"kubernetes.io/metadata.name": pod.namespace})
            if not matches(selector["namespaceSelector"], labels):
                return False
        elif pod.namespace != namespace:
            return False
        return matches(selector.get("podSelector"), pod.labels)


def _rules(policies: list[Obj], direction: str) -> Iterator[tuple[Obj, Tree]]:
    for policy in policies:
        for rule in trees(policy.spec.get(direction)):
            yield policy, rule


def _is_port(rule: Tree, target: Pod, port: int, protocol: str) -> bool:
    if rule.get("protocol", "TCP") != protocol:
        return False
    wanted = rule.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return target.ports.get(wanted) == port
    return int(wanted) <= port <= int(rule.get("endPort") or wanted)


def _in_block(block: Json, address: str) -> bool:
    def inside(cidr: Json) -> bool:
        try:
            return ipaddress.ip_address(address) in ipaddress.ip_network(str(cidr), strict=False)
        except ValueError:
            return False

    return inside(dig(block, "cidr")) and not any(inside(each) for each in dig(block, "except") or [])
