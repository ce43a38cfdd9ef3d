"""Nodes that are drained, frozen, cut off, or switched off."""

import json
from dataclasses import dataclass
from http import HTTPStatus

from kubernetes.client import ApiException

from shakedown.cluster import Cluster
from shakedown.cluster.host import engine, on_node, state_of
from shakedown.faults.guard import Radius
from shakedown.faults.network import BITTEN, TABLE
from shakedown.faults.pods import path_of
from shakedown.faults.undo import AnyAct, DropNodeTable, Patch, Run, send
from shakedown.serving import Pod
from shakedown.wait import NotYet

STOP_S = 2  # what a kind node gets to end in; its pods get no notice, as at a power cut
# What leaves the node or comes to it, pods' packets too; inside it everything goes on, the kubelet's probes among it.
CUT = r"""
table inet {table} {{
 counter bitten {{}}
 chain in {{ type filter hook input priority -300; iifname eth0 counter name bitten drop; }}
 chain out {{ type filter hook output priority -300; oifname eth0 counter name bitten drop; }}
 chain through {{
  type filter hook forward priority -300;
  iifname eth0 counter name bitten drop; oifname eth0 counter name bitten drop;
 }}
}}
"""


@dataclass(frozen=True)
class Doomed:
    """A node with the pods of the disturbed workload that are on it, of so many."""

    cluster: Cluster
    namespace: str
    node: str
    pods: tuple[Pod, ...]
    out_of: int

    @property
    def radius(self) -> Radius:
        """What is on the node."""
        names = frozenset(pod.name for pod in self.pods)
        return Radius(frozenset({self.namespace}), names, self.out_of, frozenset({self.node}))


@dataclass(frozen=True)
class NodeDrained:
    """A node takes no more pods, and those of one workload are evicted as far as its disruption budget lets them.

    Evictions are asked for again and again, as `kubectl drain` does; `asked` holds the answers by HTTP code.
    """

    doomed: Doomed
    answers: list[int]

    name: str = "node-drained"

    @property
    def target(self) -> str:
        """The node."""
        return self.doomed.node

    @property
    def radius(self) -> Radius:
        """Evictions wait for each other, so that no more than the budget allows are hurt at once: one.

        The node is closed to everybody's pods, which is for its owner to order.
        """
        hurt = self.doomed.radius
        return Radius(hurt.namespaces, frozenset(sorted(hurt.pods)[:1]), hurt.out_of, hurt.nodes)

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The node takes pods again."""
        operations = ({"op": "add", "path": "/spec/unschedulable", "value": False},)
        return (Patch(path=f"/api/v1/nodes/{self.doomed.node}", operations=operations),)

    def inject(self) -> None:
        """Close the node."""
        operations = [{"op": "add", "path": "/spec/unschedulable", "value": True}]
        send(self.doomed.cluster, "PATCH", f"/api/v1/nodes/{self.doomed.node}", operations)

    def prove(self) -> str:
        """Every pod is evicted; those that the budget refuses (429) are asked for again."""
        left = [pod for pod in self.doomed.pods if self.still_there(pod)]
        self.answers.extend(evict(self.doomed.cluster, self.doomed.namespace, pod) for pod in left)
        left = [pod for pod in self.doomed.pods if self.still_there(pod)]
        if left:
            raise NotYet(f"{', '.join(pod.name for pod in left)} not evicted yet; answers so far {self.answers}")
        refused = self.answers.count(HTTPStatus.TOO_MANY_REQUESTS)
        return f"{len(self.doomed.pods)} pods evicted from {self.doomed.node}; the budget refused {refused} times first"

    def still_there(self, pod: Pod) -> bool:
        """Whether a pod has not been marked for deletion yet."""
        try:
            meta = self.doomed.cluster.get(path_of(self.doomed.namespace, pod.name))["metadata"]
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return meta["uid"] == pod.uid and "deletionTimestamp" not in meta


def evict(cluster: Cluster, namespace: str, pod: Pod) -> int:
    """Ask for one pod's eviction; the HTTP code, 429 where a disruption budget refuses. Raises ApiException."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    try:
        return send(cluster, "POST", f"{path_of(namespace, pod.name)}/eviction", body)
    except ApiException as refused:
        if refused.status != HTTPStatus.TOO_MANY_REQUESTS:
            raise
        return HTTPStatus.TOO_MANY_REQUESTS.value


@dataclass(frozen=True)
class PodsEvicted:
    """Evictions of several pods are asked for at the same moment, as two drains at once would; each answer is kept."""

    doomed: Doomed
    answers: list[int]

    name: str = "pods-evicted"
    undo: tuple[AnyAct, ...] = ()

    @property
    def target(self) -> str:
        """The pods."""
        return ", ".join(pod.name for pod in self.doomed.pods)

    @property
    def radius(self) -> Radius:
        """Those pods: what the budget lets through is what is to be seen."""
        return Radius(frozenset({self.doomed.namespace}), self.doomed.radius.pods, self.doomed.out_of)

    def inject(self) -> None:
        """Ask for each, once."""
        self.answers.extend(evict(self.doomed.cluster, self.doomed.namespace, pod) for pod in self.doomed.pods)

    def prove(self) -> str:
        """One was granted."""
        if HTTPStatus.CREATED not in self.answers:
            raise NotYet(f"evictions of {self.target} were answered {self.answers}")
        return f"evictions of {self.target} were answered {self.answers}"


@dataclass(frozen=True)
class NodeFrozen:
    """A node's container is paused: everything on it stands still, and nothing is closed."""

    doomed: Doomed

    name: str = "node-frozen"

    @property
    def target(self) -> str:
        """The node."""
        return self.doomed.node

    @property
    def radius(self) -> Radius:
        """What is on the node."""
        return self.doomed.radius

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """It goes on."""
        return (Run(node=self.doomed.node),)

    def inject(self) -> None:
        """Freeze it."""
        engine(self.doomed.cluster, "pause", self.doomed.node)

    def prove(self) -> str:
        """The engine says so, and the control plane has missed it."""
        state = state_of(self.doomed.cluster, self.doomed.node)
        if state != "paused":
            raise NotYet(f"its container is {state}")
        return missed(self.doomed, state)


@dataclass(frozen=True)
class NodeStopped:
    """A node's container is stopped: everything on it ends, and its addresses answer nothing."""

    doomed: Doomed

    name: str = "node-stopped"

    @property
    def target(self) -> str:
        """The node."""
        return self.doomed.node

    @property
    def radius(self) -> Radius:
        """What is on the node."""
        return self.doomed.radius

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """It starts again."""
        return (Run(node=self.doomed.node),)

    def inject(self) -> None:
        """Switch it off."""
        engine(self.doomed.cluster, "stop", self.doomed.node, f"--time={STOP_S}")

    def prove(self) -> str:
        """The engine says so, and the control plane has missed it."""
        state = state_of(self.doomed.cluster, self.doomed.node)
        if state != "exited":
            raise NotYet(f"its container is {state}")
        return missed(self.doomed, state)


@dataclass(frozen=True)
class NodePartitioned:
    """A node's packets reach nobody, and nobody's reach it: everything on it runs on, and the others don't know."""

    doomed: Doomed

    name: str = "node-partitioned"

    @property
    def target(self) -> str:
        """The node."""
        return self.doomed.node

    @property
    def radius(self) -> Radius:
        """What is on the node."""
        return self.doomed.radius

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The filter's table is dropped whole."""
        return (DropNodeTable(node=self.doomed.node, table=TABLE),)

    def inject(self) -> None:
        """Load it in one transaction."""
        on_node(self.doomed.cluster, self.doomed.node, "nft", CUT.format(table=TABLE))

    def prove(self) -> str:
        """Its counter rises, and the control plane has missed the node."""
        counters = ("nft", "--json", "list", "counters", "table", "inet", TABLE)
        listed = json.loads(on_node(self.doomed.cluster, self.doomed.node, *counters))["nftables"]
        packets = next(entry["counter"]["packets"] for entry in listed if "counter" in entry)
        if packets < BITTEN:
            raise NotYet(f"{packets} packets dropped so far")
        return f"{missed(self.doomed, 'cut off')}, {packets} packets dropped so far"


def missed(doomed: Doomed, state: str) -> str:
    """What the control plane says of a node that is gone; raises NotYet while it thinks that all is well."""
    node = next(node for node in doomed.cluster.nodes() if node.name == doomed.node)
    if node.ready:
        raise NotYet(f"its container is {state}, and the control plane still holds it for Ready")
    return f"{doomed.node}: container {state}, node no longer Ready"
