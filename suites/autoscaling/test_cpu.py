"""Few requests that cost much: the servers follow the CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fixtures.autoscaling import Scaling
from fixtures.verdicts import Evidence
from shakedown.api_paths import autoscaler_path
from shakedown.autoscaling import TOLERANCE, Size, cpu_of, cpu_request
from shakedown.causes import Scene, changed
from shakedown.cluster import Cluster
from shakedown.load import Load
from shakedown.manifests import Stack
from shakedown.settings import Deployment
from shakedown.shapes import lasting
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet, TimedOut, eventually

pytestmark = pytest.mark.test_bed
HEAVY = 0.95  # of the rate that the least is meant to take, so that the rate asks for no server itself
EASED = 0.75  # of the CPU target, for this test: how much CPU so few requests cost depends on the machine


@pytest.mark.usefixtures("at_rest")
def test_servers_follow_the_cpu_while_requests_are_few(
    cluster: Cluster,
    scene: Scene,
    scaling: Scaling,
    stack: Stack,
    deployment: Deployment,
    load: Load,
    served: int,
    evidence: Evidence,
) -> None:
    """Large requests, too few to count as many, bring as many servers as the formula says for their CPU."""
    scaler = scaling.scaler
    scaler.require_room()
    percent = round(EASED * scaler.cpu)
    target = cpu_request(stack.find("Deployment", deployment.workload)) * percent / 100
    rate = HEAVY * scaler.rate * scaler.least
    totals: list[float] = []

    def follows() -> Size:
        size, used = scaling.size(), cpu_of(cluster, scaling.namespace, scaling.selector)
        totals.append(sum(each.value for each in used.values()))
        told = f"{size}; {totals[-1]:.3f} cores used, {target:g} is the target of each"
        if size.desired <= scaler.least or not size.desired == size.ready == size.there == len(used):
            raise NotYet(told)
        if not scaler.rests(size.ready, totals[-1], target):
            raise NotYet(f"{told}: {scaler.proposal(size.ready, totals[-1], target)} by the formula")
        return size

    with (
        cpu_target(scene, scaling.name, percent),
        load.running(lasting(rate), batch=deployment.batch) as traffic,
    ):
        size = await_cpu(follows, scaling.out_within, totals, scaler.least * target * (1 + TOLERANCE))
        window = traffic.window(traffic.began, None)
    asked = scaler.proposal(scaler.least, window.rate, scaler.rate)
    assert asked == scaler.least, f"{window.rate:.1f} requests a second asked for {asked} servers themselves"
    window.assert_kept_up()
    window.assert_none_failed()
    window.assert_none_wrong({served})
    evidence(f"{size.ready} servers for {totals[-1]:.2f} cores at {target:g} each; {window}")


@contextmanager
def cpu_target(scene: Scene, name: str, percent: int) -> Iterator[None]:
    """The autoscaler aims at so many percent of the CPU request for a while."""
    path = autoscaler_path(scene.namespace, name)
    metrics = scene.cluster.get(path)["spec"]["metrics"]
    index = next(i for i, each in enumerate(metrics) if each.get("resource", {}).get("name") == "cpu")
    with changed(scene, path, f"/spec/metrics/{index}/resource/target/averageUtilization", percent):
        yield


def await_cpu(follows: Callable[[], Size], within: float, totals: list[float], needed: float) -> Size:
    """Wait until the size follows. Raises Inconclusive where the load never used what would need another server."""
    try:
        return eventually(follows, within=within, awaited="there are as many servers as their CPU asks for")
    except TimedOut as never:
        if max(totals) < needed:
            raise Inconclusive(
                f"the load used {max(totals):.2f} cores, {needed:.2f} would need another server: this machine is too "
                "fast for requests of deployment.batch images"
            ) from never
        raise
