"""What the autoscaler reads is there before any load comes, is fresh, and means what its target is set for."""

import time

import pytest

from fixtures.autoscaling import Scaling
from fixtures.tide import Tide
from fixtures.verdicts import Evidence
from shakedown.autoscaling import TOLERANCE, cpu_of, cpu_request
from shakedown.cluster import Cluster
from shakedown.lint.quantity import seconds
from shakedown.manifests import Stack
from shakedown.serving import Pod
from shakedown.settings import Deployment
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed
RESOLUTION = "--metric-resolution="
METRICS_SERVER = "/apis/apps/v1/namespaces/kube-system/deployments/metrics-server"
ROUNDS = 3  # of metrics-server: a sample may be one old when it is asked for, and a new pod needs two


def resolution(cluster: Cluster) -> float:
    """The seconds between two looks of metrics-server at the nodes, as it was told."""
    arguments = cluster.get(METRICS_SERVER)["spec"]["template"]["spec"]["containers"][0]["args"]
    told = [seconds(each.removeprefix(RESOLUTION)) for each in arguments if each.startswith(RESOLUTION)]
    if not told or told[0] is None:
        raise Failed(f"Deployment kube-system/metrics-server is not told {RESOLUTION}")
    return told[0]


def test_autoscaler_reads_each_servers_cpu_and_it_is_fresh(
    cluster: Cluster, scaling: Scaling, stack: Stack, deployment: Deployment, servers: list[Pod], evidence: Evidence
) -> None:
    """CPU is there for every server, no older than metrics-server's rounds, as a share of what the server asks for."""
    asked = cpu_request(stack.find("Deployment", deployment.workload))
    allowed = ROUNDS * resolution(cluster)

    def fresh() -> dict[str, float]:
        found = cpu_of(cluster, scaling.namespace, scaling.selector)
        ages = {name: time.time() - each.taken for name, each in found.items()}
        if missing := {pod.name for pod in servers} - found.keys():
            raise NotYet(f"no CPU of {', '.join(sorted(missing))}")
        if (oldest := max(ages.values())) > allowed:
            raise NotYet(f"the oldest sample is {oldest:.0f} s old, metrics-server looks every {allowed / ROUNDS:g} s")
        return {name: each.value / asked for name, each in found.items()}

    shares = eventually(fresh, within=2 * allowed, awaited="metrics-server has a fresh sample of each server")
    told = ", ".join(f"{name} {share:.0%}" for name, share in sorted(shares.items()))
    evidence(f"of the {asked:g} cores that each asks for: {told}; the target is {scaling.scaler.cpu:g} %")


def test_autoscaler_reads_the_rate_at_which_users_ask_and_no_probe_counts(tide: Tide, evidence: Evidence) -> None:
    """The request rate that it reads is what was sent: within the tolerance below which it would not act."""
    settle = tide.scaling.pace.scrape + tide.scaling.pace.window
    calm = sum(window.rate for window in tide.kept_up(tide.at.came - settle, tide.at.came))
    held = sum(window.rate for window in tide.kept_up(tide.at.peak - settle, tide.at.peak))
    told = []
    for sent, read in ((calm, tide.read.calm), (held, tide.read.held)):
        told.append(f"{read:.1f}/s read of {sent:.1f}/s sent")
        assert abs(read / sent - 1) <= TOLERANCE, f"{told[-1]}: see the adapter's rule, and what else asks the gateway"
    evidence("; ".join(told))
