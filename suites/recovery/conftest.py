"""Fixtures of the recovery suite: who is hit."""

from collections import Counter
from collections.abc import Iterator

import pytest

from fixtures.faults import Arena, Expected
from shakedown.cluster import Cluster
from shakedown.faults.nodes import Doomed
from shakedown.faults.pods import Victim
from shakedown.manifests import Stack
from shakedown.observe.watch import watching
from shakedown.pace import Pace
from shakedown.recovery import LOOK_S, whole
from shakedown.serving import Pod, pods, selector_of
from shakedown.settings import Deployment
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet, eventually


@pytest.fixture
def victim(cluster: Cluster, servers: list[Pod], deployment: Deployment) -> Victim:
    """The server that is hit: the one with fewest restarts, for each makes the kubelet wait longer before the next."""
    chosen = min(servers, key=lambda pod: (pod.restarts, pod.name))
    return Victim(cluster, deployment.namespace, chosen, len(servers), deployment.rest_port)


@pytest.fixture
def doomed(cluster: Cluster, servers: list[Pod], deployment: Deployment) -> Doomed:
    """A worker with servers, and without the gateway: a fault of its node would be the gateway's."""
    gateways = cluster.core.list_namespaced_pod("gateway", label_selector="app.kubernetes.io/name=traefik").items
    spared = {pod.spec.node_name for pod in gateways} | {node.name for node in cluster.nodes() if node.control_plane}
    by_node = {pod.node: tuple(p for p in servers if p.node == pod.node) for pod in servers if pod.node not in spared}
    if not by_node:
        raise Inconclusive(f"no worker has servers and not the gateway, which is on {spared}")
    node, pods = min(by_node.items(), key=lambda item: len(item[1]))
    return Doomed(cluster, deployment.namespace, node, pods, len(servers))


@pytest.fixture
def spread_again(cluster: Cluster, stack: Stack, deployment: Deployment, pace: Pace, arena: Arena) -> Iterator[None]:
    """Servers that a lost node left on one side are spread again: one is deleted, and comes back on the other."""
    yield
    selector = selector_of(stack.find("Deployment", deployment.workload))

    def spread() -> None:
        found = pods(cluster, deployment.namespace, selector)
        crowd = Counter({node.name: 0 for node in cluster.nodes() if not node.control_plane})
        crowd.update(pod.node for pod in found)
        (fullest, most), (_, least) = crowd.most_common()[0], crowd.most_common()[-1]
        if most - least <= 1:
            return
        if all(pod.ready for pod in found):
            chosen = next(pod for pod in found if pod.node == fullest)
            cluster.core.delete_namespaced_pod(chosen.name, deployment.namespace)
        raise NotYet(f"servers by worker: {dict(crowd)}")

    eventually(spread, within=2 * pace.drained, awaited="servers are spread over the workers again")
    with watching(arena.faults.ledger, arena.film.look, period=LOOK_S):
        arena.expect(Expected(whole(1), pace.drained))
