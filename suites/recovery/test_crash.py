"""A run that is killed in the middle of a fault leaves nothing that the next start does not undo."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.cluster import journal_of
from fixtures.crash import FAULTS, STEPS
from fixtures.crashing import runs_until
from fixtures.verdicts import Evidence
from shakedown.api_paths import autoscaler_path, deployment_path
from shakedown.cluster import Cluster
from shakedown.cluster.host import on_node, state_of
from shakedown.faults.journal import ANNOTATION, restore
from shakedown.faults.names import CONFIG
from shakedown.manifests import Stack
from shakedown.pace import Pace
from shakedown.serving import pods, selector_of
from shakedown.settings import Deployment
from shakedown.wait import NotYet, eventually

pytestmark = [pytest.mark.test_bed, pytest.mark.conformance]
AMID, OVER = "injected", "restored"
# what a node shows of faults: its stopped processes, packet filters and shaping, and volumes over the store
TRACES = r"""
for stat in /proc/[0-9]*/stat; do sed 's/.*) //' "$stat" 2>/dev/null | grep -q '^T' && echo "stopped $stat"; done
for netns in /run/netns/*; do
  ip netns exec "${netns##*/}" nft list tables
  tc -n "${netns##*/}" qdisc show dev eth0 | grep tbf
done
nft list tables | grep shakedown_fault
grep ' /models ' /proc/mounts
true
"""
Traces = dict[str, object]


def traces_of(cluster: Cluster, names: Deployment) -> Traces:
    """All that the faults of the self-test change."""
    nodes = [node.name for node in cluster.nodes()]
    states = {node: state_of(cluster, node) for node in nodes}
    places = [(names.namespace, names.workload), ("kube-system", "coredns")]
    specs = [cluster.get(deployment_path(*place))["spec"] for place in places]
    annotations = cluster.get(f"/api/v1/namespaces/{names.namespace}")["metadata"].get("annotations", {})
    strangers = cluster.core.list_namespaced_pod("default").items
    assert cluster.store is not None
    return {
        "engine": states,
        "schedulable": {node.name: node.schedulable for node in cluster.nodes()},
        "on nodes": on_nodes(cluster, [node for node in nodes if states[node] == "running"]),
        "templates": [spec["template"] for spec in specs],
        "replicas": [spec["replicas"] for spec in specs],
        "autoscaler": cluster.get(autoscaler_path(names.namespace, names.workload))["spec"],
        "names": cluster.get(CONFIG)["data"],
        "strangers": [pod.metadata.name for pod in strangers if pod.metadata.deletion_timestamp is None],
        "announced": [name for name in annotations if name.startswith(ANNOTATION)],
        "store": {str(p): p.stat().st_size for p in sorted(cluster.store.rglob("*")) if p.is_file()},
    }


def on_nodes(cluster: Cluster, nodes: list[str]) -> dict[str, str]:
    """What each node shows, all asked at once."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(nodes, pool.map(lambda node: on_node(cluster, node, "bash", "-c", TRACES), nodes), strict=True))


def await_ready(cluster: Cluster, stack: Stack, names: Deployment, within: float) -> None:
    """Wait until every node and every server is Ready, and none is too many."""
    wanted = stack.find("HorizontalPodAutoscaler", names.workload)["spec"]["minReplicas"]

    def ready() -> None:
        late = [node.name for node in cluster.nodes() if not node.ready]
        found = pods(cluster, names.namespace, selector_of(stack.find("Deployment", names.workload)))
        if late or len(found) != wanted or not all(pod.ready for pod in found):
            raise NotYet(f"nodes not Ready: {late}; servers: {[(pod.name, pod.ready) for pod in found]}")

    eventually(ready, within=within, awaited="the stack is whole again")


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_left_of_a_fault_whose_run_was_killed(
    cluster: Cluster, stack: Stack, deployment: Deployment, pace: Pace, evidence: Evidence, fault: str
) -> None:
    """Killed at any step of a fault, a run leaves what the next start takes away, all of it."""
    before, folder = traces_of(cluster, deployment), journal_of(cluster)
    bites = {}
    for step in runs_until(cluster, folder, fault, STEPS):
        amid = traces_of(cluster, deployment)
        bites[step] = [name for name in amid if amid[name] != before[name]]
        undone = restore(cluster, folder, deployment.namespace)
        assert len(undone) == (step != OVER), f"killed at {step!r}: {len(undone)} faults were undone"
        assert traces_of(cluster, deployment) == before, f"killed at {step!r}, something is left"
        await_ready(cluster, stack, deployment, pace.moved)
    assert set(bites[AMID]) > {"announced"}, f"amid the fault nothing was to be seen of it: {bites}"
    assert not list(folder.glob("*.json"))
    evidence(f"{fault}: killed at each of {', '.join(bites)}; what was to be seen then: {bites}; nothing was left")
