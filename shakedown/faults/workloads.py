"""Changes to a workload by its own API: scaled to nothing, or rolled out anew, well or badly."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kubernetes.client import ApiException

from shakedown.api_paths import autoscaler_path, deployment_path
from shakedown.cluster import Cluster
from shakedown.cluster.host import on_node
from shakedown.faults.guard import Radius
from shakedown.faults.pods import started_of
from shakedown.faults.undo import SIGNAL, AnyAct, Patch, send
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ScaledToNothing:
    """A Deployment that nothing scales by itself is set to no replicas: DNS, a metrics pipeline, an operator."""

    cluster: Cluster
    namespace: str
    workload: str
    replicas: int

    name: str = "scaled-to-nothing"

    @property
    def target(self) -> str:
        """The Deployment."""
        return f"{self.namespace}/{self.workload}"

    @property
    def radius(self) -> Radius:
        """Its namespace; none of the pods that serve."""
        return Radius(frozenset({self.namespace}))

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """It gets its replicas back."""
        operations = ({"op": "replace", "path": "/spec/replicas", "value": self.replicas},)
        return (Patch(path=deployment_path(self.namespace, self.workload), operations=operations),)

    def inject(self) -> None:
        """Scale it."""
        operations = [{"op": "replace", "path": "/spec/replicas", "value": 0}]
        send(self.cluster, "PATCH", deployment_path(self.namespace, self.workload), operations)

    def prove(self) -> str:
        """No pod of it is Ready."""
        status = self.cluster.get(deployment_path(self.namespace, self.workload))["status"]
        if status.get("readyReplicas"):
            raise NotYet(f"{status['readyReplicas']} of its pods are Ready")
        return f"{self.target} has no Ready pod"


def scaled_to_nothing(cluster: Cluster, namespace: str, workload: str) -> ScaledToNothing:
    """The fault that takes a Deployment's pods away, which gets back as many as it asks for now."""
    replicas = cluster.get(deployment_path(namespace, workload))["spec"]["replicas"]
    return ScaledToNothing(cluster, namespace, workload, replicas)


@dataclass(frozen=True)
class SizeHeld:
    """An autoscaler keeps its Deployment at its least size, so that who comes and goes does so for another reason."""

    cluster: Cluster
    namespace: str
    autoscaler: str
    least: int
    most: int

    name: str = "size-held"

    @property
    def target(self) -> str:
        """The autoscaler."""
        return f"{self.namespace}/{self.autoscaler}"

    @property
    def path(self) -> str:
        """Where the API server keeps it."""
        return autoscaler_path(self.namespace, self.autoscaler)

    @property
    def radius(self) -> Radius:
        """Its namespace; no pod that is needed."""
        return Radius(frozenset({self.namespace}))

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """It may scale again."""
        return (
            Patch(path=self.path, operations=({"op": "replace", "path": "/spec/maxReplicas", "value": self.most},)),
        )

    def inject(self) -> None:
        """Let it go no higher than its least."""
        send(self.cluster, "PATCH", self.path, [{"op": "replace", "path": "/spec/maxReplicas", "value": self.least}])

    def prove(self) -> str:
        """The Deployment has that many pods."""
        current = self.cluster.get(self.path).get("status", {}).get("currentReplicas", 0)
        if current != self.least:
            raise NotYet(f"{self.target} has {current} pods, and is to hold {self.least}")
        return f"{self.target} holds {self.least} pods"


def size_held(cluster: Cluster, namespace: str, autoscaler: str) -> SizeHeld:
    """The fault that holds an autoscaler as it is now at its least size."""
    try:
        spec = cluster.get(autoscaler_path(namespace, autoscaler))["spec"]
    except ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        told = f"there is no HorizontalPodAutoscaler {namespace}/{autoscaler}"
        raise Inconclusive(f"{told}: it must bear its Deployment's name (docs/your-deployment.md)") from error
    return SizeHeld(cluster, namespace, autoscaler, spec.get("minReplicas", 1), spec["maxReplicas"])


@dataclass(frozen=True)
class TemplateChanged:
    """A Deployment gets another pod template, as a release does. `before` is the one that it has."""

    cluster: Cluster
    namespace: str
    workload: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    generation: int

    name: str = "template-changed"

    @property
    def target(self) -> str:
        """The Deployment."""
        return f"{self.namespace}/{self.workload}"

    @property
    def radius(self) -> Radius:
        """Its namespace: how many pods it takes at once is the Deployment's own promise, and judged."""
        return Radius(frozenset({self.namespace}))

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The template of before."""
        operations = ({"op": "replace", "path": "/spec/template", "value": dict(self.before)},)
        return (Patch(path=deployment_path(self.namespace, self.workload), operations=operations),)

    def inject(self) -> None:
        """Change it."""
        operations = [{"op": "replace", "path": "/spec/template", "value": dict(self.after)}]
        send(self.cluster, "PATCH", deployment_path(self.namespace, self.workload), operations)

    def prove(self) -> str:
        """The controller has taken it up and made a pod of it."""
        seen = self.cluster.get(deployment_path(self.namespace, self.workload))
        status = seen["status"]
        if status.get("observedGeneration", 0) <= self.generation or not status.get("updatedReplicas"):
            raise NotYet(f"{status.get('updatedReplicas', 0)} pods of the new template")
        return f"{self.target}: {status['updatedReplicas']} pods of the new template, {status['replicas']} in all"


def rolled_out_with(cluster: Cluster, namespace: str, workload: str, change: Change) -> TemplateChanged:
    """The fault that rolls a Deployment out with a template that `change` makes of a copy of the present one."""
    found = cluster.get(deployment_path(namespace, workload))
    before = found["spec"]["template"]
    after = copy.deepcopy(before)
    change(after)
    return TemplateChanged(cluster, namespace, workload, before, after, found["metadata"]["generation"])


@dataclass(frozen=True)
class ProcessKilled:
    """One process of a node gets SIGKILL, such as the API server's; whoever watches over it starts it again."""

    cluster: Cluster
    node: str
    program: str
    process: str

    undo: tuple[AnyAct, ...] = ()

    @property
    def name(self) -> str:
        """Tells the program."""
        return f"{self.program}-killed"

    @property
    def target(self) -> str:
        """The node."""
        return self.node

    @property
    def radius(self) -> Radius:
        """No pod that serves."""
        return Radius(frozenset(), nodes=frozenset({self.node}))

    def inject(self) -> None:
        """Kill it."""
        on_node(self.cluster, self.node, "bash", "-c", SIGNAL, "bash", "KILL", self.process)

    def prove(self) -> str:
        """The process is gone."""
        if self.process in process_named(self.cluster, self.node, self.program):
            raise NotYet(f"{self.program} on {self.node} lives on as {self.process}")
        return f"{self.program} on {self.node}, process {self.process.partition(':')[0]}, is gone"


def process_named(cluster: Cluster, node: str, program: str) -> tuple[str, ...]:
    """The processes of a program on a node, each as `pid:start time in ticks`; none where it doesn't run."""
    found = on_node(cluster, node, "sh", "-c", 'pgrep -x "$(echo "$1" | cut -c1-15)" || true', "sh", program)
    return started_of(cluster, node, found.split()) if found.strip() else ()
