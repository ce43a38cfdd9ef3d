"""Memory comes back: swapping versions all day doesn't fill a server up (tensorflow/serving#1664, #2142)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.grpc_client import reload_config, serving_only, with_more
from shakedown.serving import Endpoint, Pod
from shakedown.settings import Deadlines, Deployment
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed  # the kubelet is asked

SWAPS = 12  # enough that what leaked would stand out of the allocator's own coming and going
MIB = 2**20
LEAST_MIB = 2.0  # measured: the allocator's slack between two readings of an idle server is under 1 MiB


def memory(cluster: Cluster, pod: Pod) -> tuple[datetime, float]:
    """When the kubelet last looked into the pod's cgroup, and the MiB that its processes held (no page cache)."""
    summary = cluster.get(f"/api/v1/nodes/{pod.node}/proxy/stats/summary")
    found = next(entry for entry in summary["pods"] if entry["podRef"]["uid"] == pod.uid)["containers"]
    seen = next(one for one in found if one["memory"].get("rssBytes"))["memory"]
    return datetime.fromisoformat(seen["time"]), seen["rssBytes"] / MIB


def memory_now(cluster: Cluster, pod: Pod, within: float) -> float:
    """What the pod's processes hold, read by the kubelet after this was asked; it looks every 10 s or so."""
    before, _ = memory(cluster, pod)

    def looked() -> float:
        seen, held = memory(cluster, pod)
        if seen <= before:
            raise NotYet(f"it last did at {seen}")
        return held

    return eventually(looked, within=within, awaited=f"the kubelet looks at {pod.name}'s memory")


def swap(one: Endpoint, config: str, model: str, version: int, within: float) -> None:
    """Let a server serve another version instead of its own, and wait until the old one is gone."""
    reload_config(one, serving_only(config, model, version))

    def alone() -> None:
        available = {v for v, state in one.status(model).items() if state == "AVAILABLE"}
        if available != {version}:
            raise NotYet(f"{sorted(available)} AVAILABLE")

    eventually(alone, within=within, awaited=f"{one.name} serves version {version} alone")


@contextmanager
def loaded_more(one: Endpoint, config: str, model: str, count: int) -> Iterator[None]:
    """As many more copies of the served model as `count`, each under a name of its own."""
    reload_config(one, with_more(config, {f"copy-{turn}": f"/models/{model}" for turn in range(count)}))
    try:
        yield
    finally:
        reload_config(one, config)


def test_memory_comes_back_after_version_swaps(
    cluster: Cluster,
    servers: list[Pod],
    replicas: dict[str, Endpoint],
    model_config: str,
    deployment: Deployment,
    deadlines: Deadlines,
    golden_versions: list[int],
    served: int,
    evidence: Evidence,
) -> None:
    """After many swaps a server holds less than half of what it would if each unloaded version had stayed behind."""
    pod, model = servers[0], deployment.model
    one, older = replicas[pod.name], min(golden_versions)
    try:
        for version in (older, served):
            swap(one, model_config, model, version, deadlines.pods)  # the first swap fills the allocator's pools
        before = memory_now(cluster, pod, deadlines.pods)
        for turn in range(SWAPS):
            swap(one, model_config, model, (older, served)[turn % 2], deadlines.pods)
        after = memory_now(cluster, pod, deadlines.pods)
        with loaded_more(one, model_config, model, SWAPS):
            full = memory_now(cluster, pod, deadlines.pods)
    finally:
        reload_config(one, model_config)
    grown, kept = after - before, full - after
    if kept < 2 * LEAST_MIB:
        raise Inconclusive(f"{SWAPS} more models are seen as {kept:.1f} MiB only: a leak could not be seen either")
    assert grown <= kept / 2, (
        f"{pod.name} grew by {grown:.1f} MiB over {SWAPS} swaps; {SWAPS} models kept loaded are {kept:.1f} MiB"
    )
    evidence(
        f"{pod.name}: {before:.0f} MiB, {grown:+.1f} after {SWAPS} swaps; tolerance {kept / 2:.1f} MiB, half of what"
        f" {SWAPS} models take that do stay loaded"
    )
