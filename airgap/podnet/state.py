"""What the agent knows of the cluster, cut down to what routes and policies need."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]  # a Kubernetes object, or a part of one, as the API writes it
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Pod:
    """A pod that owns an address. `ports` maps name and protocol of a container's port to its number."""

    namespace: str
    ip: str
    node: str
    labels: Labels
    ports: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class State:
    """Pods, the labels of each namespace by its name, and NetworkPolicies."""

    pods: tuple[Pod, ...]
    namespaces: Mapping[str, Labels]
    policies: tuple[Object, ...]


def state_of(pods: Iterable[Object], namespaces: Iterable[Object], policies: Iterable[Object]) -> State:
    """The state that these objects describe."""
    return State(
        tuple(sorted((pod_of(pod) for pod in pods if owns_address(pod)), key=lambda pod: pod.ip)),
        {space["metadata"]["name"]: labels_of(space) for space in namespaces},
        tuple(sorted(policies, key=lambda policy: str(policy["metadata"]["name"]))),
    )


def owns_address(pod: Object) -> bool:
    """Whether the pod has an address of its own; a finished pod's may be another's already."""
    status = pod.get("status", {})
    finished = status.get("phase") in {"Succeeded", "Failed"}
    return bool(status.get("podIP")) and not finished and not pod["spec"].get("hostNetwork")


def pod_of(pod: Object) -> Pod:
    """The parts of a pod that matter here."""
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    ports = {
        (port["name"], port.get("protocol", "TCP")): port["containerPort"]
        for container in [*spec["containers"], *sidecars]
        for port in container.get("ports") or []
        if port.get("name")
    }
    return Pod(pod["metadata"]["namespace"], pod["status"]["podIP"], spec.get("nodeName", ""), labels_of(pod), ports)


def labels_of(thing: Object) -> Labels:
    """The labels of an object, which may have none."""
    return thing["metadata"].get("labels") or {}
