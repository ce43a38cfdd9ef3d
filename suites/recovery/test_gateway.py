"""The front door itself goes down, and opens again before long."""

from functools import partial

import pytest
import requests

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.faults.pods import ContainerKilled, Victim
from shakedown.pace import CONTROL_S
from shakedown.recovery import Snapshot
from shakedown.serving import Endpoint, Pod, pods
from shakedown.settings import Deployment

PLACE, SELECTOR = "gateway", "app.kubernetes.io/name=traefik"


@pytest.fixture
def gateways(cluster: Cluster) -> list[Pod]:
    """The gateway's pods."""
    return pods(cluster, PLACE, SELECTOR)


def opening(cluster: Cluster, pod: Pod) -> float:
    """Seconds that a gateway's container may take from its end to its first request: its probes, run once each."""
    spec = cluster.core.read_namespaced_pod(pod.name, PLACE).spec.containers[0]
    return float(spec.startup_probe.period_seconds + spec.readiness_probe.period_seconds + CONTROL_S)


def reopened(cluster: Cluster, door: Endpoint, model: str, killed: Pod, seen: Snapshot) -> str:
    """What is missing until the killed gateway runs anew and a request comes in through the front door."""
    found = next((pod for pod in pods(cluster, PLACE, SELECTOR) if pod.uid == killed.uid), None)
    if found is None or not found.ready or found.restarts <= killed.restarts:
        return f"gateway {killed.name} does not run anew yet"
    try:
        code = door.get(f"/v1/models/{model}").status_code
    except requests.RequestException as shut:
        return f"the front door is shut: {type(shut).__name__}"
    return "" if code == requests.codes.ok and seen.serving else f"the front door says {code}"


@pytest.mark.test_bed
def test_killed_gateway_opens_again_before_long(
    arena: Arena,
    cluster: Cluster,
    gateway: Endpoint,
    gateways: list[Pod],
    deployment: Deployment,
    evidence: Evidence,
) -> None:
    """A gateway whose process dies is started again, and no more is lost than its share of the requests meanwhile."""
    killed, patience = gateways[0], opening(cluster, gateways[0])
    victim = Victim(cluster, PLACE, killed, len(gateways))
    anew = Expected(partial(reopened, cluster, gateway, deployment.model, killed), patience)
    course = arena.run(ContainerKilled(victim, victim.processes()), set(), anew)
    course.require_loss_below(arena.rate * patience / len(gateways))
    evidence(f"{course.told()}; it may take {patience:.0f} s")
