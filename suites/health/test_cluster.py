"""The cluster keeps its own promises, before anything that runs in it is judged."""

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster, Node
from shakedown.cluster.config import API_SERVER_FAST, CONTROLLER_FAST, KUBELET_FAST
from shakedown.lab import Places
from shakedown.settings import Clock, Deadlines, Objectives, Settings
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually

pytestmark = [pytest.mark.smoke, pytest.mark.test_bed]


def test_every_node_is_ready_and_in_time(cluster: Cluster, objectives: Objectives, evidence: Evidence) -> None:
    """One control plane and two workers are Ready, and a new cluster's were within the objective."""
    nodes = cluster.nodes()
    late = [node.name for node in nodes if not node.ready]
    assert not late, f"not Ready: {', '.join(late)}; see kubectl describe node"
    assert sorted(n.control_plane for n in nodes) == [False, False, True]
    seconds = [cluster.stages[stage] for stage in ("kind create", "nodes Ready") if stage in cluster.stages]
    if seconds and sum(seconds) > objectives.nodes_ready:
        raise Failed(f"nodes Ready {sum(seconds):.1f} s after `kind create`, objective {objectives.nodes_ready:g} s")
    took = f"{sum(seconds):.1f} s after kind create" if seconds else "kept cluster"
    evidence(f"{len(nodes)} nodes Ready, {took}: {', '.join(node.name for node in nodes)}")


def test_control_plane_runs_at_the_chosen_clock(
    cluster: Cluster, settings_of_run: Settings, evidence: Evidence
) -> None:
    """The control plane and the kubelets run with the periods of the chosen clock, not with whatever was left."""
    manager = flags_of(cluster, "kube-controller-manager")
    server = flags_of(cluster, "kube-apiserver")
    kubelet = [kubelet_config(cluster, node) for node in cluster.nodes()]
    wanted = settings_of_run.pace is Clock.FAST
    assert CONTROLLER_FAST.items() <= manager.items() if wanted else not CONTROLLER_FAST.keys() & manager.keys()
    assert API_SERVER_FAST.items() <= server.items() if wanted else not API_SERVER_FAST.keys() & server.keys()
    frequencies = {str(config["nodeStatusUpdateFrequency"]) for config in kubelet}
    assert frequencies == {KUBELET_FAST["nodeStatusUpdateFrequency"] if wanted else "10s"}
    sync = manager.get("horizontal-pod-autoscaler-sync-period", "15s (default)")
    evidence(f"{settings_of_run.pace} clock: HPA sync {sync}, kubelet status every {frequencies.pop()}")


def flags_of(cluster: Cluster, component: str) -> dict[str, str]:
    """The command-line flags of a control-plane component, from its running pod."""
    pods = cluster.core.list_namespaced_pod("kube-system", label_selector=f"component={component}").items
    assert len(pods) == 1, f"{len(pods)} pods of {component}"
    command = pods[0].spec.containers[0].command
    return dict(flag.removeprefix("--").split("=", 1) for flag in command if flag.startswith("--") and "=" in flag)


def kubelet_config(cluster: Cluster, node: Node) -> dict[str, object]:
    """The configuration that a node's kubelet runs with."""
    return dict(cluster.get(f"/api/v1/nodes/{node.name}/proxy/configz")["kubeletconfig"])


def test_every_kubelet_gives_metrics(cluster: Cluster, evidence: Evidence) -> None:
    """Each kubelet tells the CPU and memory use of its node and its containers."""
    nodes = cluster.nodes()
    texts = {node.name: cluster.text(f"/api/v1/nodes/{node.name}/proxy/metrics/resource") for node in nodes}
    series = {name: text.count("\ncontainer_cpu_usage_seconds_total{") for name, text in texts.items()}
    silent = [name for name, text in texts.items() if "\nnode_cpu_usage_seconds_total" not in text]
    assert not silent, f"kubelets without CPU metrics of their node: {', '.join(silent)}"
    assert min(series.values()) > 0, f"containers with CPU metrics per node: {series}"
    evidence(f"containers with CPU metrics per node: {sorted(series.values())}")


def test_names_resolve_short_and_full(places: Places, evidence: Evidence) -> None:
    """A pod finds a Service by its short name, by namespace and by its full name."""
    namespace = places.lab.namespace
    names = ["front", f"front.{namespace}", f"front.{namespace}.svc.cluster.local", "kubernetes.default"]
    failed = [
        f"{name} from {pod}: {reach.said}"
        for name in names
        for pod in ("near", "far")
        if not (reach := places.lab.connect(pod, name, 443 if "kubernetes" in name else 80, 3)).reached
    ]
    assert not failed, "; ".join(failed)
    evidence(f"{len(names)} names from pods on both workers")


def test_names_that_do_not_exist_are_refused_at_once(
    places: Places, objectives: Objectives, evidence: Evidence
) -> None:
    """An unknown name, inside the cluster or outside, is answered at once and not after a time-out."""
    answers = [places.lab.connect("near", name, 80, 5) for name in ("no-such-name", "example.com")]
    assert {answer.said.partition(":")[0] for answer in answers} == {"DNS"}, f"answers: {answers}"
    slowest = max(answer.seconds for answer in answers)
    assert slowest <= objectives.refusal, f"refused only after {slowest:.1f} s: does CoreDNS forward to somebody?"
    evidence(f"refused as unknown within {slowest:.2f} s")


def test_pods_reach_each_other_on_one_node_and_across_nodes(places: Places, evidence: Evidence) -> None:
    """A pod reaches a pod beside it, one on the other worker, itself, and the control plane's pods."""
    paths = {
        "beside it": places.lab.connect("near", places.server.address, 8080, 3),
        "across nodes": places.lab.connect("far", places.server.address, 8080, 3),
        "back across": places.lab.connect("server", places.far.address, 8080, 3),
        "itself through its Service": places.lab.connect("server", "front", 80, 3),
    }
    failed = [f"{path}: {reach.said}" for path, reach in paths.items() if not reach.reached]
    assert not failed, "; ".join(failed)
    evidence(", ".join(f"{path} {reach.seconds:.2f} s" for path, reach in paths.items()))


def test_service_reaches_its_pod_by_cluster_ip(cluster: Cluster, places: Places, evidence: Evidence) -> None:
    """A Service's cluster address leads to its pod, from both workers and by HTTP."""
    address = cluster.core.read_namespaced_service("front", places.lab.namespace).spec.cluster_ip
    reached = [places.lab.connect(pod, address, 80, 3) for pod in ("near", "far")]
    failed = [f"{address}: {reach.said}" for reach in reached if not reach.reached]
    assert not failed, "; ".join(failed)
    path = f"/api/v1/namespaces/{places.lab.namespace}/services/front:80/proxy/hostname"
    assert cluster.text(path).strip() == "server"
    evidence(f"{address} answered as pod 'server' from {len(reached)} pods and through the API server")


def test_model_store_is_shared_by_all_workers(places: Places, deadlines: Deadlines, evidence: Evidence) -> None:
    """What a pod writes into the model store on one worker, a pod on the other reads."""
    places.lab.run("near", "/agnhost", "mounttest", "--new_file_0644=/models/shared-by-all")

    def seen_on_the_other_worker() -> str:
        """The other worker sees the file."""
        said = places.lab.run("far", "/agnhost", "mounttest", "--file_content=/models/shared-by-all")
        if "mount-tester new file" not in said:
            raise NotYet(said.strip())
        return said

    said = eventually(seen_on_the_other_worker, within=deadlines.packet)
    places.lab.run("near", "/agnhost", "mounttest", "--file_mode=/models/shared-by-all")
    evidence(f"written on {places.near.node}, read on {places.far.node}: {said.strip()[-40:]}")


def test_default_storage_class_exists(cluster: Cluster, evidence: Evidence) -> None:
    """A claim that names no storage class gets the cluster's default one."""
    classes = cluster.get("/apis/storage.k8s.io/v1/storageclasses")["items"]
    mark = "storageclass.kubernetes.io/is-default-class"
    default = [c["metadata"]["name"] for c in classes if c["metadata"].get("annotations", {}).get(mark) == "true"]
    assert len(default) == 1, f"default storage classes: {default}"
    evidence(f"default storage class {default[0]}")
