"""Readiness follows the model: who can't load it gets no users."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from fixtures.serving import Steady
from fixtures.verdicts import Evidence
from shakedown.backends.wire import Wire
from shakedown.cluster import Cluster
from shakedown.manifests import Stack
from shakedown.rollout import template_changed
from shakedown.serving import Pod, pods, selector_of
from shakedown.settings import Deadlines, Deployment
from shakedown.verdict import Failed, Inconclusive
from shakedown.wait import NotYet, eventually

BROKEN = "shakedown-broken-path"
HASH = "pod-template-hash"  # the label by which a ReplicaSet knows its pods


@contextmanager
def broken_config(cluster: Cluster, stack: Stack, deployment: Deployment, wire: Wire) -> Iterator[dict[str, Any]]:
    """The server's configuration with a model that isn't there; what it yields makes a pod template use it."""
    pod = stack.find("Deployment", deployment.workload)["spec"]["template"]["spec"]
    volume = next((volume for volume in pod.get("volumes", []) if "configMap" in volume), None)
    if volume is None:
        raise Inconclusive(f"Deployment {deployment.workload} has no ConfigMap among its volumes that names its model")
    good = stack.find("ConfigMap", volume["configMap"]["name"])["data"]
    wrong = {name: wire.without_model(text, deployment.model) for name, text in good.items()}
    assert wrong != good, "the model is not named where it was expected"
    body = {"metadata": {"name": BROKEN}, "data": wrong}
    cluster.core.create_namespaced_config_map(deployment.namespace, body)
    try:
        yield {"spec": {"volumes": [{"name": volume["name"], "configMap": {"name": BROKEN}}]}}
    finally:
        cluster.core.delete_namespaced_config_map(BROKEN, deployment.namespace)


def seconds_to_ready(cluster: Cluster, servers: list[Pod], namespace: str) -> float:
    """What the slowest of these servers took from its container's start until it was Ready."""
    found = [cluster.core.read_namespaced_pod(pod.name, namespace) for pod in servers]
    slowest: float = max(
        (condition.last_transition_time - pod.status.container_statuses[0].state.running.started_at).total_seconds()
        for pod in found
        for condition in pod.status.conditions
        if condition.type == "Ready"
    )
    return slowest


def await_running(
    cluster: Cluster, place: tuple[str, str], known: set[str], seconds: float, deadlines: Deadlines
) -> str:
    """Wait until a pod of a new template has run for so long; raises Failed once one is Ready.

    `place` is namespace and selector, `known` are the pods of the template before: the autoscaler may add some of it.
    """

    def running() -> str:
        namespace, selector = place
        items = cluster.core.list_namespaced_pod(namespace, label_selector=selector).items
        old = {pod.metadata.labels.get(HASH) for pod in items if pod.metadata.uid in known}
        fresh = [pod for pod in items if pod.metadata.uid not in known and pod.metadata.labels.get(HASH) not in old]
        states = [(pod, (pod.status.container_statuses or [None])[0]) for pod in fresh]
        if ready := [pod.metadata.name for pod, status in states if status and status.ready]:
            raise Failed(f"{ready[0]} is Ready although its model can't be loaded; users will meet it")
        ran = [
            (datetime.now(UTC) - s.state.running.started_at).total_seconds() for _, s in states if s and s.state.running
        ]
        if not ran or max(ran) < seconds:
            raise NotYet(f"{len(fresh)} new pods, running for {max(ran, default=0):.0f} of {seconds:.0f} s")
        return str(fresh[0].metadata.name)

    return eventually(running, within=deadlines.pods + seconds, awaited="a server without a model has had its time")


@pytest.mark.touches(
    "ConfigMap {d.namespace}/shakedown-broken-path: made and deleted",
    "Deployment {d.namespace}/{d.workload}: another pod template, then put back",
)
def test_server_whose_model_cannot_load_never_gets_ready_and_the_old_ones_serve_on(
    cluster: Cluster,
    stack: Stack,
    servers: list[Pod],
    deployment: Deployment,
    deadlines: Deadlines,
    trickle: Steady,
    served: int,
    wire: Wire,
    evidence: Evidence,
) -> None:
    """A roll-out to a wrong model path stops at its first pod, and users go on getting right answers from the rest."""
    # a server that was unready for a moment yesterday took that long, by what is known of it
    patience = 1.5 * min(seconds_to_ready(cluster, servers, deployment.namespace), deadlines.pods) + 5
    place = deployment.namespace, deployment.workload
    selector = selector_of(stack.find("Deployment", deployment.workload))
    with broken_config(cluster, stack, deployment, wire) as template, trickle() as flow:
        flow.collect(10)
        with template_changed(cluster, *place, template, within=deadlines.rollout):
            known = {pod.uid for pod in servers}
            late = await_running(cluster, (deployment.namespace, selector), known, patience, deadlines)
            left = [pod for pod in pods(cluster, deployment.namespace, selector) if pod.ready and pod.uid in known]
            asked = cluster.apps.read_namespaced_deployment(deployment.workload, deployment.namespace).spec.replicas
        flow.collect(10)
    told = flow.judge({served}, least=50)
    owed = min(len(servers), asked)  # whom the autoscaler takes away meanwhile nobody misses
    assert len(left) >= owed, f"{len(left)} of {owed} old servers ready; see strategy.rollingUpdate"
    evidence(f"{late} unready for {patience:.0f} s, the slowest good one took {(patience - 5) / 1.5:.0f} s; {told}")
