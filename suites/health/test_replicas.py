"""Each server on its own: what it serves, where it runs, and that it never had to be restarted."""

from collections import Counter

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster, Node
from shakedown.manifests import Stack
from shakedown.serving import Endpoint, Pod
from shakedown.settings import Deployment

pytestmark = pytest.mark.smoke


def test_every_replica_serves_exactly_the_expected_version(
    replicas: dict[str, Endpoint], deployment: Deployment, served: int, evidence: Evidence
) -> None:
    """Asked one by one, each server has the expected version AVAILABLE and no other one."""
    states = {name: endpoint.status(deployment.model) for name, endpoint in replicas.items()}
    available = {name: [v for v, state in seen.items() if state == "AVAILABLE"] for name, seen in states.items()}
    other = {name: states[name] for name, versions in available.items() if versions != [served]}
    assert not other, f"not exactly version {served} AVAILABLE: {other}"
    evidence(f"{len(states)} replicas, each asked through a tunnel of its own: version {served} AVAILABLE")


def test_replicas_are_spread_over_the_workers(servers: list[Pod], workers: list[Node], evidence: Evidence) -> None:
    """No worker has two servers more than another, so that the loss of one node never takes all."""
    count = Counter({node.name: 0 for node in workers if node.schedulable and node.ready})
    count.update(pod.node for pod in servers)
    skew = max(count.values()) - min(count.values())
    assert skew <= 1, f"servers by worker: {dict(count)}; see topologySpreadConstraints"
    assert len(count) >= 2, f"{list(count)}: there is nothing to spread over"
    evidence(f"servers by worker: {dict(count)}")


def test_nothing_has_been_restarted(cluster: Cluster, stack: Stack, deployment: Deployment, evidence: Evidence) -> None:
    """No container of the stack has ended and been started again: a crash that heals itself is still a crash."""
    namespaces = stack.namespaces or [deployment.namespace]  # a stack that was found brings none
    pods = [pod for namespace in namespaces for pod in cluster.core.list_namespaced_pod(namespace).items]
    statuses = [(pod.metadata.name, status) for pod in pods for status in pod.status.container_statuses or []]
    restarted = [
        f"{pod} {status.restart_count} times ({why(status)})" for pod, status in statuses if status.restart_count
    ]
    assert not restarted, f"restarted: {', '.join(restarted)}"
    assert statuses, "the stack's namespaces hold no containers"
    evidence(f"{len(statuses)} containers in {', '.join(namespaces)}, no restart")


def why(status: object) -> str:
    """Why a container's last run ended."""
    last = getattr(getattr(status, "last_state", None), "terminated", None)
    return f"{last.reason}, exit code {last.exit_code}" if last else "no reason kept"


def test_every_replica_runs_the_same_image(
    cluster: Cluster, servers: list[Pod], deployment: Deployment, evidence: Evidence
) -> None:
    """All servers run one build: the same digest, not only the same tag."""
    found = {
        pod.name: cluster.core.read_namespaced_pod(pod.name, deployment.namespace).status.container_statuses[0].image_id
        for pod in servers
    }
    assert len(set(found.values())) == 1, f"servers run different images: {found}"
    evidence(f"{len(found)} servers run {next(iter(found.values()))[-71:]}")
