"""Fixtures of the health suite: pods that probe the cluster's network from where users' pods would."""

from collections.abc import Iterator

import pytest

from fixtures.run import Run
from shakedown.cluster import Cluster, Node
from shakedown.lab import Guest, Places, Visitors, guests, lab
from shakedown.manifests import Stack
from shakedown.settings import Deadlines, Deployment
from shakedown.wait import NotYet, eventually

LAB = "shakedown-lab"
STRANGER = "shakedown-stranger"


@pytest.fixture(scope="session")
def workers(cluster: Cluster) -> list[Node]:
    """The nodes that take workloads."""
    return [node for node in cluster.nodes() if not node.control_plane]


@pytest.fixture(scope="session")
def places(cluster: Cluster, workers: list[Node], deadlines: Deadlines, run: Run) -> Iterator[Places]:
    """A lab whose pods stand on both workers."""
    run.namespaces.append(LAB)
    with lab(cluster, LAB, within=deadlines.deletion) as opened:
        server = opened.start("server", workers[0].name, within=deadlines.pods)
        near = opened.start("near", workers[0].name, within=deadlines.pods)
        far = opened.start("far", workers[1].name, within=deadlines.pods)
        opened.apply([service("front", {"probe": "server"}), service("nobody", {"probe": "nobody"})])
        made = Places(opened, server, near, far)
        eventually(lambda: answers_everywhere(made), within=deadlines.pods, awaited="every node routes the Service")
        yield made


@pytest.fixture(scope="session")
def visitors(
    cluster: Cluster,
    stack: Stack,
    deployment: Deployment,
    deadlines: Deadlines,
    run: Run,
) -> Iterator[Visitors]:
    """Probing pods in the gateway's, monitoring's and two strangers' namespaces, and one under the servers' policy.

    The last carries the label that the servers' policy selects, and not the one that makes it the Service's. One of
    the strangers stands in `default`, where whoever names no namespace puts his pods.
    """
    labels = stack.find("NetworkPolicy", deployment.workload)["spec"]["podSelector"]["matchLabels"]
    run.namespaces.append(STRANGER)
    wanted = [Guest(namespace, {}) for namespace in ("gateway", STRANGER, "default")]
    wanted += [Guest("monitoring", {}, leaves=True), Guest(deployment.namespace, labels)]
    with guests(cluster, wanted, within=deadlines.pods) as labs:
        yield Visitors(
            gateway=labs["gateway"],
            monitoring=labs["monitoring"],
            stranger=labs[STRANGER],
            default=labs["default"],
            server=labs[deployment.namespace],
        )


def answers_everywhere(places: Places) -> None:
    """Raise NotYet unless every pod reaches the new Service: kube-proxy takes a second to learn it."""
    for pod in ("server", "near", "far"):
        reach = places.lab.connect(pod, "front", 80, 2)
        if not reach.reached:
            raise NotYet(f"from {pod}: {reach.said}")


def service(name: str, selector: dict[str, str]) -> dict[str, object]:
    """A Service on port 80 for pods of the lab; one that selects nobody has no endpoints."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
