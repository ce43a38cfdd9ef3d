"""Waits until a new cluster has come to rest, and cuts its DNS off from the outside."""

import re
from typing import Any

from shakedown.cluster.access import Cluster
from shakedown.verdict import UnusableEnvironment
from shakedown.wait import NotYet, eventually


def await_nodes(cluster: Cluster, count: int, within: float) -> None:
    """Wait until every node is Ready and takes pods where it should."""

    def all_ready() -> None:
        """All nodes of the cluster are Ready."""
        nodes = cluster.nodes()
        late = [node.name for node in nodes if not node.ready]
        if late or len(nodes) != count:
            raise NotYet(f"{len(nodes) - len(late)} of {count} Ready; not yet: {', '.join(late) or 'registered'}")

    eventually(all_ready, within=within)


def await_system_pods(cluster: Cluster, within: float) -> None:
    """Wait until the cluster's own Deployments and DaemonSets are rolled out."""

    def rolled_out() -> None:
        """The cluster's own pods are up."""
        late = [
            f"Deployment {item.metadata.name}"
            for item in cluster.apps.list_deployment_for_all_namespaces().items
            if not complete(item)
        ]
        late += [
            f"DaemonSet {item.metadata.name}"
            for item in cluster.apps.list_daemon_set_for_all_namespaces().items
            if (item.status.number_available or 0) != item.status.desired_number_scheduled
        ]
        if late:
            raise NotYet(f"not rolled out: {', '.join(late)}")

    eventually(rolled_out, within=within)


def complete(deployment: Any) -> bool:  # noqa: ANN401 - the client ships no types
    """Whether a Deployment's latest generation is rolled out, with no pod of an older one left."""
    status, wanted = deployment.status, deployment.spec.replicas
    return (status.observed_generation or 0) >= deployment.metadata.generation and all(
        (count or 0) == wanted for count in (status.updated_replicas, status.available_replicas, status.replicas)
    )


def cut_upstream(cluster: Cluster) -> None:
    """Take the forwarder out of CoreDNS: the bed is sealed, and each lookup of an outside name would hang."""
    corefile = cluster.core.read_namespaced_config_map("coredns", "kube-system").data["Corefile"]
    without = re.sub(r"\n\s*forward \. [^{\n]*\{.*?\n    \}", "", corefile, flags=re.DOTALL)
    if without == corefile:
        raise UnusableEnvironment(f"CoreDNS has no forward block to take out; its configuration is:\n{corefile}")
    cluster.core.patch_namespaced_config_map("coredns", "kube-system", {"data": {"Corefile": without}})
    cluster.kubectl("--namespace=kube-system", "rollout", "restart", "deployment/coredns")
