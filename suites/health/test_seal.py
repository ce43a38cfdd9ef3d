"""Nothing of the test cluster leaves the machine, and what tries is refused at once."""

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.cluster.access import CommandFailed
from shakedown.cluster.host import on_node, seal_counters
from shakedown.lab import Places
from shakedown.settings import Objectives

pytestmark = [pytest.mark.smoke, pytest.mark.test_bed]

# addresses of documentation (RFC 5737, RFC 3849): nobody is there, so that a leak harms nobody
OUTSIDE = "192.0.2.1"
OUTSIDE_V6 = "2001:db8::1"
UNUSED_CLUSTER_IP = "10.96.255.254"


@pytest.mark.parametrize("target", [OUTSIDE, UNUSED_CLUSTER_IP], ids=["outside", "unused-cluster-ip"])
@pytest.mark.parametrize("pod", ["near", "far"])
def test_pod_is_refused_at_once(
    cluster: Cluster, places: Places, objectives: Objectives, evidence: Evidence, pod: str, target: str
) -> None:
    """A pod's packet to an address outside, or to a cluster address that no Service has, is refused by the seal."""
    node = {"near": places.near.node, "far": places.far.node}[pod]
    before = seal_counters(cluster, node)["pods_ipv4"]
    reach = places.lab.connect(pod, target, 80, 5)
    refused = seal_counters(cluster, node)["pods_ipv4"] - before
    assert not reach.reached
    assert reach.seconds <= objectives.refusal, f"{reach.said} only after {reach.seconds:.1f} s"
    assert refused >= 1, "the seal's counter did not rise: something else refused the packet"
    evidence(f"{target} refused in {reach.seconds:.2f} s ({reach.said}), seal counter +{refused}")


def test_service_without_endpoints_is_refused_at_once(
    places: Places, objectives: Objectives, evidence: Evidence
) -> None:
    """A Service whose selector matches no pod refuses connections instead of letting them hang or leave."""
    reach = places.lab.connect("near", "nobody", 80, 5)
    assert not reach.reached
    assert reach.said.startswith("REFUSED")
    assert reach.seconds <= objectives.refusal
    assert places.lab.connect("near", "front", 80, 3).reached, "the same way to a Service with endpoints"
    evidence(f"refused in {reach.seconds:.2f} s ({reach.said}); a Service with endpoints answers")


@pytest.mark.parametrize(
    ("target", "counter"), [(OUTSIDE, "node_ipv4"), (UNUSED_CLUSTER_IP, "node_ipv4"), (OUTSIDE_V6, "node_ipv6")]
)
def test_node_is_refused_at_once(
    cluster: Cluster, places: Places, objectives: Objectives, evidence: Evidence, target: str, counter: str
) -> None:
    """A node's own packet to the outside is refused by the seal, over IPv4 and IPv6."""
    node = places.near.node
    before = seal_counters(cluster, node)[counter]
    probe = f"exec 3<>/dev/tcp/{target}/80"
    seconds, said = attempt(cluster, node, probe)
    refused = seal_counters(cluster, node)[counter] - before
    assert refused >= 1, f"the seal's counter did not rise; bash said: {said}"
    assert seconds <= objectives.refusal
    evidence(f"{target} refused in {seconds:.2f} s, seal counter {counter} +{refused}")


def attempt(cluster: Cluster, node: str, probe: str) -> tuple[float, str]:
    """Run a probe that must fail on a node; seconds as the node measured them, and what it said."""
    script = f"start=$EPOCHREALTIME; timeout 5 bash -c '{probe}' 2>&1 && exit 9; echo $start $EPOCHREALTIME"
    try:
        said = on_node(cluster, node, "bash", "-c", script)
    except CommandFailed as failed:
        raise AssertionError(f"the node's packet to the outside was answered: {probe} ({failed})") from failed
    first, last = said.splitlines()[-1].split()
    return float(last) - float(first), said
