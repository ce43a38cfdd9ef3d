"""Liveness ends only what is stuck: a server that is merely busy is left alone."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import requests

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.manifests import Stack
from shakedown.oracle import Oracle
from shakedown.serving import Endpoint, Pod
from shakedown.settings import Deadlines, Deployment
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet, eventually

CLIENTS = 8
BATCH = 32
MOST = 20_000  # requests; it never comes to that
BUSY = 0.5  # of a core: the tunnel and the clients take their share of a small machine


def cpu(cluster: Cluster, pod: Pod) -> tuple[datetime, float]:
    """When the kubelet last looked, and the CPU seconds that the pod's containers had used by then."""
    summary = cluster.get(f"/api/v1/nodes/{pod.node}/proxy/stats/summary")
    found = next(entry for entry in summary["pods"] if entry["podRef"]["uid"] == pod.uid)["containers"][0]["cpu"]
    return datetime.fromisoformat(found["time"]), found["usageCoreNanoSeconds"] / 1e9


def cpu_after(cluster: Cluster, pod: Pod, moment: datetime, within: float) -> tuple[datetime, float]:
    """The next time that the kubelet looks, which it does every 10 s or so."""

    def looked() -> tuple[datetime, float]:
        seen = cpu(cluster, pod)
        if seen[0] <= moment:
            raise NotYet(f"it last did at {seen[0]}")
        return seen

    return eventually(looked, within=within, awaited=f"the kubelet looks at {pod.name}'s CPU time")


def press(endpoint: Endpoint, path: str, body: bytes, seconds: float) -> Counter[int]:
    """Ask one server from several clients at once for so long: {HTTP code: answers}."""
    until = time.monotonic() + seconds

    def client(_: int) -> Counter[int]:
        codes = Counter[int]()
        with requests.Session() as session:
            while time.monotonic() < until and codes.total() < MOST // CLIENTS:
                codes[session.post(endpoint.rest + path, data=body, timeout=30).status_code] += 1
        return codes

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(client, range(CLIENTS)), Counter[int]())


def window_of(stack: Stack, deployment: Deployment) -> float:
    """The seconds without an answer after which the liveness probe ends a server."""
    container = stack.find("Deployment", deployment.workload)["spec"]["template"]["spec"]["containers"][0]
    probe = container["livenessProbe"]
    return float(probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"])


def test_busy_server_is_not_restarted(
    cluster: Cluster,
    stack: Stack,
    servers: list[Pod],
    replicas: dict[str, Endpoint],
    deployment: Deployment,
    deadlines: Deadlines,
    oracle: Oracle,
    evidence: Evidence,
) -> None:
    """A server at work for longer than the liveness probe's patience is neither restarted nor wrong afterwards."""
    pod, seconds = servers[0], window_of(stack, deployment)
    body = json.dumps({"instances": oracle.images[:BATCH].tolist()}).encode()
    first = cpu(cluster, pod)
    codes = press(replicas[pod.name], f"/v1/models/{deployment.model}:predict", body, seconds)
    last = cpu(cluster, pod)
    if last[0] <= first[0]:
        last = cpu_after(cluster, pod, first[0], deadlines.pods)
    busy = (last[1] - first[1]) / (last[0] - first[0]).total_seconds()
    status = cluster.core.read_namespaced_pod(pod.name, deployment.namespace).status.container_statuses[0]
    assert status.restart_count == pod.restarts, f"{pod.name} was restarted under load: {status.last_state.terminated}"
    assert set(codes) == {200}, f"answers under load by HTTP code: {dict(codes)}"
    if busy < BUSY:
        raise Inconclusive(f"{pod.name} used {busy:.2f} cores under {codes.total()} batches: it was never busy")
    evidence(f"{pod.name}: {codes.total()} batches of {BATCH} in {seconds:.0f} s, {busy:.2f} cores, no restart")
