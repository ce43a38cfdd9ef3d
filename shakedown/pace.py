"""How long recovery may take, as the live configuration promises it: by probes, grace, tolerations and nodes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kubernetes.client import ApiException

from shakedown.cluster import Cluster
from shakedown.verdict import Failed

# From a state to everybody's knowledge of it: kubelet (looks every second), API server, controllers, scheduler, proxies
# and gateway, on 2 cores that are busy with the load.
CONTROL_S = 8.0
UNREACHABLE = "node.kubernetes.io/unreachable"


@dataclass(frozen=True)
class Pace:
    """Seconds within which each thing must have happened, by the live configuration.

    `starting`: a new container is Ready or has been given up. `grace`: a pod that is told to end has ended. `unready`:
    a server that says nothing takes no part. `stuck`: such a server is told to end. `missing`: a node that is silent is
    NotReady. `tolerated`: its pods are then told to end, and replaced.
    """

    starting: float
    grace: float
    unready: float
    stuck: float
    missing: float
    tolerated: float

    @property
    def replaced(self) -> float:
        """A pod that was deleted, or whose container died, is made up for."""
        return self.starting + CONTROL_S

    @property
    def drained(self) -> float:
        """A pod is made up for, and the one that made room has ended."""
        return self.replaced + self.grace

    @property
    def restarted(self) -> float:
        """A server that hangs has been ended and its next run is Ready."""
        return self.stuck + self.grace + self.replaced

    @property
    def moved(self) -> float:
        """The pods of a lost node are made up for elsewhere."""
        return self.missing + self.tolerated + self.replaced

    @property
    def withdrawn(self) -> float:
        """A server that says nothing gets no more requests."""
        return self.unready + CONTROL_S


def pace_of(cluster: Cluster, namespace: str, workload: str) -> Pace:
    """The pace of a Deployment as the cluster has it now. Raises Failed where it lacks what recovery rests on."""
    found = cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{workload}")
    pod = found["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for probe in ("readinessProbe", "livenessProbe"):
        if probe not in container:
            raise Failed(f"Deployment {workload} has no {probe}: a server that says nothing is never noticed")
    arguments = controller_arguments(cluster)
    return Pace(
        starting=window(container.get("startupProbe", container["readinessProbe"])),
        grace=float(pod["terminationGracePeriodSeconds"]),
        unready=window(container["readinessProbe"]),
        stuck=window(container["livenessProbe"]),
        missing=seconds(arguments.get("node-monitor-grace-period", "50s"))
        + seconds(arguments.get("node-monitor-period", "5s")),
        tolerated=toleration(pod),
    )


def window(probe: Mapping[str, Any]) -> float:
    """The seconds of silence after which a probe has failed for good; its first try may just have gone well."""
    return float(
        probe.get("initialDelaySeconds", 0)
        + probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        + probe.get("timeoutSeconds", 1)
    )


def toleration(pod: Mapping[str, Any]) -> float:
    """How long the pods of an unreachable node are left alone; Kubernetes' own default is 5 minutes."""
    found = [t for t in pod.get("tolerations", []) if t.get("key") == UNREACHABLE and t.get("effect") == "NoExecute"]
    return float(found[0].get("tolerationSeconds", float("inf"))) if found else 300.0


def controller_arguments(cluster: Cluster) -> dict[str, str]:
    """The controller manager's flags, where its pods can be seen (a managed control plane hides them)."""
    path = "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Dkube-controller-manager"
    try:
        shown = cluster.get(path)["items"]
    except ApiException as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return {}  # Kubernetes' own periods are taken to hold
    commands = [c.get("command", []) for pod in shown for c in pod["spec"]["containers"]]
    pairs = [part.removeprefix("--").partition("=") for command in commands for part in command]
    return {name: value for name, _, value in pairs}


def seconds(duration: str) -> float:
    """Go's way to write a duration, in seconds: 1m30s is 90."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))
