"""The kind configuration of a test cluster: three nodes, the front door's port, and the clock's periods."""

from pathlib import Path
from typing import Any

import yaml

from shakedown.settings import Clock

GATEWAY_NODE_PORT = 30080
POD_SUBNET = "10.244.0.0/16"

# Control-plane periods of the fast clock; the faithful one leaves Kubernetes' own defaults (HPA sync 15 s, node
# monitor grace 50 s, kubelet status 10 s, tolerations 300 s, CPU initialisation 5 min, readiness delay 30 s).
CONTROLLER_FAST = {
    "horizontal-pod-autoscaler-sync-period": "5s",
    # a server's start costs seconds of CPU: shorter than start-up, one round of metrics and readiness together, and
    # each start of the servers would scale them to their maximum
    "horizontal-pod-autoscaler-cpu-initialization-period": "60s",
    "horizontal-pod-autoscaler-initial-readiness-delay": "5s",
    "node-monitor-period": "2s",
    "node-monitor-grace-period": "20s",
}
API_SERVER_FAST = {"default-not-ready-toleration-seconds": "15", "default-unreachable-toleration-seconds": "15"}
# syncFrequency: how late a changed ConfigMap or Secret can reach a pod, such as Prometheus' rules
KUBELET_FAST = {"nodeStatusUpdateFrequency": "4s", "nodeLeaseDurationSeconds": 16, "syncFrequency": "10s"}


def kind_config(clock: Clock, gateway_port: int, store: Path, volumes: Path, node_stores: list[Path]) -> str:
    """The configuration for `kind create cluster`, one node per entry of `node_stores` or three without any.

    `store` is the host folder of the model store, `volumes` the one of all other claims; `node_stores` are each node's
    own containerd folder, filled with the images (none where images are loaded afterwards).
    """
    nodes = []
    for index, role in enumerate(["control-plane", "worker", "worker"]):
        folders = {"/models": store, "/volumes": volumes}
        mounts = [{"hostPath": str(folder), "containerPath": inside} for inside, folder in folders.items()]
        if node_stores:
            mounts.append({"hostPath": str(node_stores[index]), "containerPath": "/var/lib/containerd"})
        nodes.append({"role": role, "extraMounts": mounts})
    nodes[0]["extraPortMappings"] = [
        {"containerPort": GATEWAY_NODE_PORT, "hostPort": gateway_port, "listenAddress": "127.0.0.1"}
    ]
    document = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"podSubnet": POD_SUBNET},
        "nodes": nodes,
        "kubeadmConfigPatches": [yaml.safe_dump(patch) for patch in kubeadm_patches(clock)],
    }
    return yaml.safe_dump(document, sort_keys=False)


def kubeadm_patches(clock: Clock) -> list[dict[str, Any]]:
    """The clock's periods, in both forms of kubeadm's configuration.

    kind drops a patch of another version than the one it writes without a word, hence both; that the periods
    are in force is checked on the running control plane.
    """
    fast = clock is Clock.FAST
    kubelet: dict[str, Any] = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}
    if Path("/sys/fs/cgroup/cgroup.controllers").exists() is False:
        kubelet["cgroupDriver"] = "cgroupfs"  # cgroup v1 has no systemd driver in the node image
    if not fast:
        return [kubelet]
    maps = {"controllerManager": CONTROLLER_FAST, "apiServer": API_SERVER_FAST}
    old = {part: {"extraArgs": dict(args)} for part, args in maps.items()}
    new = {part: {"extraArgs": [{"name": k, "value": v} for k, v in args.items()]} for part, args in maps.items()}
    return [
        {**kubelet, **KUBELET_FAST},
        {"kind": "ClusterConfiguration", "apiVersion": "kubeadm.k8s.io/v1beta3", **old},
        {"kind": "ClusterConfiguration", "apiVersion": "kubeadm.k8s.io/v1beta4", **new},
    ]
