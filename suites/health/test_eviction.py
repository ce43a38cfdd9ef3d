"""A drain takes servers one by one, and each ends what it has begun before it goes."""

import json
import socket
from dataclasses import dataclass

import pytest
from kubernetes.client import ApiException

from fixtures.verdicts import Evidence
from shakedown.backends.wire import Wire
from shakedown.cluster import Cluster
from shakedown.ledger import now
from shakedown.manifests import Stack
from shakedown.oracle import Oracle
from shakedown.rollout import await_rollout
from shakedown.serving import REQUEST_S, Endpoint, Pod, pods, replicas_of, selector_of
from shakedown.settings import Deadlines, Deployment, Objectives
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet, eventually

ALLOWED, REFUSED = 201, 429  # the API server's codes; 429 is the budget's


@dataclass(frozen=True)
class Eviction:
    """What came of an eviction that was asked for: the API server's code and words."""

    code: int
    said: str


def evict(cluster: Cluster, namespace: str, pod: str, *, dry_run: bool) -> Eviction:
    """Ask the API server to evict a pod, as a drain does; in a dry run it only says whether it would."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    options = {"dry_run": "All"} if dry_run else {}
    try:
        cluster.core.create_namespaced_pod_eviction(pod, namespace, body, **options)
    except ApiException as error:
        return Eviction(error.status, json.loads(error.body)["message"])
    return Eviction(ALLOWED, "")


@pytest.mark.smoke
def test_disruption_budget_leaves_enough_servers(
    cluster: Cluster, servers: list[Pod], deployment: Deployment, objectives: Objectives, evidence: Evidence
) -> None:
    """The live budget counts all servers, lets one go at rest, and keeps all but one of the objective's number."""
    listed = cluster.get(f"/apis/policy/v1/namespaces/{deployment.namespace}/poddisruptionbudgets")["items"]
    statuses = {item["metadata"]["name"]: item["status"] for item in listed}
    name, least = deployment.workload, objectives.replicas - 1
    assert name in statuses, f"no PodDisruptionBudget {name}: a drain may take all servers at once"
    counted, stay, free = (statuses[name][key] for key in ("expectedPods", "desiredHealthy", "disruptionsAllowed"))
    assert counted == len(servers), f"PodDisruptionBudget {name} counts {counted} of {len(servers)} servers"
    assert stay >= least, (
        f"PodDisruptionBudget {name} lets all but {stay} of {counted} servers go at once, {least} must stay;"
        " set maxUnavailable: 1"
    )
    assert free >= 1, f"PodDisruptionBudget {name} blocks every drain: {statuses[name]}"
    evidence(f"{free} of {counted} servers may go at a time, {stay} stay")


class HalfSent:
    """A prediction over REST of which a server has the first half."""

    def __init__(self, endpoint: Endpoint, model: str, oracle: Oracle) -> None:
        host, _, port = endpoint.rest.removeprefix("http://").partition(":")
        body = json.dumps(endpoint.wire.question(oracle.images[:1])).encode()
        lines = (f"POST {endpoint.wire.prediction_path(model)} HTTP/1.1", f"Host: {host}", "Connection: close")
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        self.rest = body[len(body) // 2 :]
        self.socket = socket.create_connection((host, int(port)), timeout=REQUEST_S)
        self.socket.sendall(head.encode() + body[: len(body) // 2])

    def finish(self) -> str:
        """Send the second half; the whole answer, or the words of whatever cut it off."""
        try:
            self.socket.sendall(self.rest)
            answer = b"".join(iter(lambda: self.socket.recv(65536), b""))
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        return answer.decode()


@dataclass(frozen=True)
class Drained:
    """What was seen while one server was evicted: of itself, of the next one, and of its own last request."""

    pod: str
    first: Eviction
    second: Eviction
    answer: str


def await_withdrawn(cluster: Cluster, deployment: Deployment, pod: Pod, within: float, least: float) -> None:
    """Wait until the Service no longer leads to a pod, and for at least so long."""
    started = now()
    path = f"/apis/discovery.k8s.io/v1/namespaces/{deployment.namespace}/endpointslices"
    query = f"?labelSelector=kubernetes.io%2Fservice-name%3D{deployment.service}"

    def withdrawn() -> None:
        entries = [entry for item in cluster.get(path + query)["items"] for entry in item["endpoints"] or []]
        if any(pod.address in entry["addresses"] and entry["conditions"].get("ready") for entry in entries):
            raise NotYet(f"{pod.address} is still an endpoint")
        if now() < started + least:
            raise NotYet(f"{now() - started:.1f} of {least:g} s are over")

    eventually(withdrawn, within=within, awaited=f"Service {deployment.service} no longer leads to {pod.name}")


@pytest.fixture(scope="module")
def drained(
    cluster: Cluster,
    stack: Stack,
    deployment: Deployment,
    oracle: Oracle,
    deadlines: Deadlines,
    objectives: Objectives,
    wire: Wire,
) -> Drained:
    """One server evicted with a request under way, the next one asked for meanwhile; its successor is waited for."""
    place = deployment.namespace
    servers = pods(cluster, place, selector_of(stack.find("Deployment", deployment.workload)))
    if len(servers) < 2:
        raise Inconclusive(f"Deployment {deployment.workload} has {len(servers)} servers: none may go, two are needed")
    leaving, other = servers[:2]
    with replicas_of(cluster, place, [leaving], deployment.ports, wire) as tunnels:
        request = HalfSent(tunnels[leaving.name], deployment.model, oracle)
        first = evict(cluster, place, leaving.name, dry_run=False)
        second = evict(cluster, place, other.name, dry_run=True)
        if first.code != ALLOWED:
            raise Inconclusive(f"{leaving.name} could not be evicted: {first.said}")
        try:
            await_withdrawn(cluster, deployment, leaving, deadlines.pods, objectives.drain)
            answer = request.finish()
        finally:
            await_rollout(cluster, place, deployment.workload, deadlines.rollout)
    return Drained(leaving.name, first, second, answer)


def test_second_server_may_not_go_while_the_first_is_replaced(drained: Drained, evidence: Evidence) -> None:
    """An eviction at rest is granted; the next one, asked for before the first server is replaced, is refused."""
    assert drained.second.code == REFUSED, (
        f"while {drained.pod} was being replaced a second eviction was granted: the budget lets all servers go;"
        " see PodDisruptionBudget"
    )
    evidence(f"{drained.pod} evicted (HTTP {drained.first.code}); the next one: {drained.second.said}")


def test_server_that_is_evicted_ends_what_it_has_begun(
    drained: Drained, served: int, oracle: Oracle, objectives: Objectives, wire: Wire, evidence: Evidence
) -> None:
    """A prediction that has reached a server is answered right, seconds after the server was told to go."""
    assert drained.answer.startswith("HTTP/1.1 200 "), (
        f"the request under way in {drained.pod} was cut off ({drained.answer[:80] or 'connection closed'});"
        " see preStop and terminationGracePeriodSeconds"
    )
    wrong = oracle.mismatch(served, wire.answers(json.loads(drained.answer.partition("\r\n\r\n")[2])), count=1)
    assert not wrong, wrong
    evidence(
        f"{drained.pod}: asked before it was evicted, answered right {objectives.drain:g} s later, no endpoint any more"
    )
