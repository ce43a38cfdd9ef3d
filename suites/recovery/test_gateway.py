"""The front door itself goes down, and opens again before long."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import requests

from fixtures.faults import Arena, Course, Expected
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.faults.pods import ContainerKilled, Victim
from shakedown.faults.workloads import rolled_out_with
from shakedown.pace import CONTROL_S, Pace
from shakedown.recovery import Snapshot, run_anew
from shakedown.rollout import await_rollout
from shakedown.serving import Endpoint, Pod, pods, samples_sum, tunnel
from shakedown.settings import Deadlines, Deployment

PLACE, WORKLOAD, SELECTOR = "gateway", "traefik", "app.kubernetes.io/name=traefik"
METRICS_PORT = 9100
ASKED, TRIED = "traefik_entrypoint_requests", "traefik_service_requests"  # what clients sent, and what servers got
RETRIES = "--entrypoints.web.http.middlewares="


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
    course.require_loss_below(arena.rate * course.undone / len(gateways))
    evidence(f"{course.told()}; seen open after {course.undone:.1f} s, it may take {patience:.0f} s")


def counted(cluster: Cluster) -> tuple[float, float]:
    """What clients have asked of all gateways so far, and the attempts that these made at servers."""
    asked = tried = 0.0
    for pod in pods(cluster, PLACE, SELECTOR):
        with tunnel(cluster, PLACE, f"pod/{pod.name}", [METRICS_PORT]) as ports:
            text = requests.get(f"http://127.0.0.1:{ports[METRICS_PORT]}/metrics", timeout=10).text
        asked += samples_sum(text, ASKED, entrypoint="web")
        tried += samples_sum(text, TRIED)
    return asked, tried


@dataclass(frozen=True)
class Death:
    """A server's end under load: what became of it, and how many attempts the gateway made beyond one a request."""

    course: Course
    again: float

    def __str__(self) -> str:
        traffic = self.course.traffic
        return f"{traffic.failed} of {traffic.sent} requests failed, {self.again:.0f} attempts beyond the first"


def death(arena: Arena, cluster: Cluster, victim: Victim, within: float) -> Death:
    """Kill one server's container under load, and count."""
    asked, tried = counted(cluster)
    anew = Expected(run_anew(victim.pod.name, victim.pod.restarts, victim.out_of), within)
    course = arena.run(ContainerKilled(victim, victim.processes()), {victim.pod.name}, anew)
    now_asked, now_tried = counted(cluster)
    return Death(course, (now_tried - tried) - (now_asked - asked))


def without_retries(template: dict[str, Any]) -> None:
    """A gateway that asks one server, once."""
    container = template["spec"]["containers"][0]
    container["args"] = [each for each in container["args"] if not each.startswith(RETRIES)]


@contextmanager
def bare_gateway(arena: Arena, cluster: Cluster, within: float) -> Iterator[None]:
    """A gateway without retries for as long as the block lasts; it is rolled out as before at its end."""
    try:
        with arena.faults.inject(rolled_out_with(cluster, PLACE, WORKLOAD, without_retries)):
            await_rollout(cluster, PLACE, WORKLOAD, within)
            yield
    finally:
        await_rollout(cluster, PLACE, WORKLOAD, within)


@pytest.mark.test_bed
@pytest.mark.conformance
def test_retries_save_what_a_dead_server_costs_without_them(
    arena: Arena, cluster: Cluster, servers: Sequence[Pod], deadlines: Deadlines, pace: Pace, evidence: Evidence
) -> None:
    """The same end of a server costs clients next to nothing with the gateway's retries, and more without them."""
    fewest = sorted(servers, key=lambda pod: pod.restarts)
    first, second = (Victim(cluster, arena.film.namespace, pod, len(servers)) for pod in fewest[:2])
    saved = death(arena, cluster, first, pace.replaced)
    with bare_gateway(arena, cluster, deadlines.rollout):
        lost = death(arena, cluster, second, pace.replaced)
    told = f"with retries: {saved}; without: {lost}"
    assert saved.again > 0, f"no request was tried again, so that retries saved nothing: {told}"
    assert saved.course.traffic.failed < lost.course.traffic.failed, told
    evidence(told)
