"""Liveness ends only what is stuck: a server that is merely busy is left alone."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial

import pytest

from fixtures.verdicts import Evidence
from shakedown.autoscaling import require_cpu_since
from shakedown.backends.wire import Wire
from shakedown.cluster import Cluster
from shakedown.lab import GUEST, Lab, Visitors
from shakedown.manifests import Stack
from shakedown.oracle import Oracle
from shakedown.serving import Pod, selector_of
from shakedown.settings import Deadlines, Deployment, Objectives
from shakedown.verdict import Failed, Inconclusive
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed  # clients are put into the gateway's namespace

CLIENTS = 48  # that wait for one another: each gets its answer in two seconds or so, and a probe hardly sooner
BATCH = 24
DIGITS = 2  # decimals of a pixel: the whole body must fit into one argument of a program, 128 KiB
BODY = "/tmp/body.json"  # noqa: S108 - of a pod of our own
JSON = "Content-Type: application/json"  # wget says that it sends a form, which not every server takes
# each client asks until the time is over, at most 5,000 times, and prints how many were answered, how many not, and
# what the last refusal was
PRESS = f"""
end=$(( $(date +%s) + $1 ))
body=$(cat {BODY})
for client in $(seq {CLIENTS}); do (
  ok=0; failed=0; why=
  while [ $(date +%s) -lt $end ] && [ $ok -lt 5000 ]; do
    if said=$(wget -q -O /dev/null --header "$3" --post-data "$body" "$2" 2>&1); then ok=$((ok+1))
    else failed=$((failed+1)); why="exit code $?: $said"; fi
  done
  echo $ok $failed $why
) & done; wait
"""
SHORTEST_S = 25  # of the load: the kubelet looks at CPU times every 10 s or so, and idle time counts until it next does
BUSY = 0.4  # of a core: clients, cluster and whatever else runs take their share of a small machine
SLOW_S = 1.0  # an answer under load, on average: the least time-out that a probe can have, and what it has by default


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


def press(lab: Lab, url: str, seconds: int) -> tuple[int, int, str]:
    """Ask one server from several clients beside it at once for so long: answers, requests without one, a reason.

    Not through a tunnel: that has less to give than a server can take.
    """
    said = lab.run(GUEST, "sh", "-c", PRESS, "sh", str(seconds), url, JSON, timeout=seconds + 60)
    told = [line.split(maxsplit=2) for line in said.splitlines()]
    reasons = [line[2] for line in told if len(line) > 2]
    return sum(int(line[0]) for line in told), sum(int(line[1]) for line in told), (reasons or [""])[0]


def window_of(stack: Stack, deployment: Deployment) -> float:
    """The seconds without an answer after which the liveness probe ends a server."""
    container = stack.find("Deployment", deployment.workload)["spec"]["template"]["spec"]["containers"][0]
    if "livenessProbe" not in container:
        raise Failed(f"Deployment {deployment.workload} has no livenessProbe: a server that hangs is never restarted")
    probe = container["livenessProbe"]
    return float(probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"])


@pytest.fixture
def unscaled(
    sized: None,  # noqa: ARG001 - held
    cluster: Cluster,
    stack: Stack,
    deployment: Deployment,
    objectives: Objectives,
) -> Iterator[None]:
    """A load that brings no server: the tests that follow would see it come and go."""
    yield
    selector = selector_of(stack.find("Deployment", deployment.workload))
    eventually(
        partial(require_cpu_since, cluster, deployment.namespace, selector, time.time()),
        within=objectives.calm,
        awaited=f"the CPU that the autoscaler of {deployment.workload} reads is that of after the load",
    )


@pytest.mark.usefixtures("unscaled")
def test_busy_server_is_not_restarted(
    cluster: Cluster,
    stack: Stack,
    servers: list[Pod],
    visitors: Visitors,
    deployment: Deployment,
    deadlines: Deadlines,
    oracle: Oracle,
    wire: Wire,
    evidence: Evidence,
) -> None:
    """A server at work for longer than the liveness probe's patience is not restarted, and answers every request."""
    pod, seconds = servers[0], max(SHORTEST_S, int(window_of(stack, deployment)) + 1)
    body = json.dumps(wire.question(oracle.images[:BATCH].astype(float).round(DIGITS))) + wire.ignored
    url = f"http://{pod.address}:{deployment.rest_port}{wire.prediction_path(deployment.model)}"
    visitors.gateway.deliver(GUEST, BODY, body, deadlines.pods)
    first = cpu_after(cluster, pod, cpu(cluster, pod)[0], deadlines.pods)  # idle time before is no part
    answered, failed, why = press(visitors.gateway, url, seconds)
    status = cluster.core.read_namespaced_pod(pod.name, deployment.namespace).status.container_statuses[0]
    assert status.restart_count == pod.restarts, f"{pod.name} was restarted under load: {status.last_state.terminated}"
    assert not failed, f"{failed} of {answered + failed} requests under load were not answered well: {why}"
    last = cpu_after(cluster, pod, first[0], deadlines.pods)
    busy, slow = (last[1] - first[1]) / (last[0] - first[0]).total_seconds(), CLIENTS * seconds / max(1, answered)
    if busy < BUSY:
        raise Inconclusive(f"{pod.name} used {busy:.2f} cores under {answered} batches: it was never busy")
    if slow < SLOW_S:
        raise Inconclusive(f"{pod.name} answered within {slow:.2f} s: no probe would have had to be patient")
    evidence(
        f"{pod.name}: {answered} batches of {BATCH} in {seconds} s, each after {slow:.1f} s on average, "
        f"{busy:.2f} cores, no restart"
    )
