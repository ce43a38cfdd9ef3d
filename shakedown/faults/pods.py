"""Pods that are deleted, evicted, or whose container dies or hangs."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kubernetes.client import ApiException

from shakedown.cluster import Cluster
from shakedown.cluster.host import on_node
from shakedown.faults.guard import Radius
from shakedown.faults.undo import SIGNAL, AnyAct, Continue, send
from shakedown.serving import HTTP_PORT, Pod
from shakedown.wait import NotYet

# asks over a plain connection of the node's own, and prints the first line that comes within the time
ASK = r"""
exec 3<>"/dev/tcp/$1/$2" || exit 0
printf 'GET / HTTP/1.0\r\n\r\n' >&3
read -r -t "$3" line <&3 && echo "$line" || true
"""
SILENCE_S = 1  # a server that is not busy answers in milliseconds


def path_of(namespace: str, pod: str) -> str:
    """Where the API server keeps a pod."""
    return f"/api/v1/namespaces/{namespace}/pods/{pod}"


@dataclass(frozen=True)
class Victim:
    """The pod that is hit, one of so many; `port` is where it is asked whether it answers."""

    cluster: Cluster
    namespace: str
    pod: Pod
    out_of: int
    port: int = HTTP_PORT

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod.name}"

    @property
    def path(self) -> str:
        """Where the API server keeps it."""
        return path_of(self.namespace, self.pod.name)

    @property
    def radius(self) -> Radius:
        """One pod."""
        return Radius(frozenset({self.namespace}), frozenset({self.pod.name}), self.out_of)

    def on_node(self, *command: str) -> str:
        """Run a command on its node; raises as on_node does."""
        return on_node(self.cluster, self.pod.node, *command)

    def container(self) -> dict[str, Any]:
        """The status of its first container, as it is now."""
        status: dict[str, Any] = self.cluster.get(self.path)["status"]["containerStatuses"][0]
        return status

    def processes(self) -> tuple[str, ...]:
        """The processes of its first container on its node, each as `pid:start time in ticks`."""
        container = self.container()["containerID"].partition("://")[2]
        listed = self.on_node("ctr", "--namespace=k8s.io", "tasks", "ps", container)
        return started_of(self.cluster, self.pod.node, [line.split()[0] for line in listed.splitlines()[1:]])

    def netns(self) -> str:
        """The name under which its node holds its network namespace."""
        return self.on_node("ip", "netns", "identify", self.processes()[0].partition(":")[0]).strip()


@dataclass(frozen=True)
class PodDeleted:
    """A pod is deleted: with its own grace period, or with another, 0 being at once and without its preStop."""

    victim: Victim
    grace: int | None = None

    undo: tuple[AnyAct, ...] = ()

    @property
    def name(self) -> str:
        """Tells the grace period where it isn't the pod's own."""
        return "pod-deleted" if self.grace is None else f"pod-deleted-grace-{self.grace}"

    @property
    def target(self) -> str:
        """The pod."""
        return str(self.victim)

    @property
    def radius(self) -> Radius:
        """One pod."""
        return self.victim.radius

    def inject(self) -> None:
        """Delete this very pod, not one of the same name."""
        options: dict[str, Any] = {"preconditions": {"uid": self.victim.pod.uid}}
        if self.grace is not None:
            options["gracePeriodSeconds"] = self.grace
        send(self.victim.cluster, "DELETE", self.victim.path, options)

    def prove(self) -> str:
        """The pod is marked for deletion, or gone."""
        try:
            found = self.victim.cluster.get(self.victim.path)["metadata"]
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return f"{self.target} is gone"
            raise
        if found["uid"] == self.victim.pod.uid and "deletionTimestamp" not in found:
            raise NotYet(f"{self.target} lives on")
        return f"{self.target} is deleted as of {found.get('deletionTimestamp', 'now')}"


@dataclass(frozen=True)
class ContainerKilled:
    """The processes of a pod's first container get SIGKILL from the node, as from its kernel."""

    victim: Victim
    processes: tuple[str, ...]

    name: str = "container-killed"
    undo: tuple[AnyAct, ...] = ()

    @property
    def target(self) -> str:
        """The pod."""
        return str(self.victim)

    @property
    def radius(self) -> Radius:
        """One pod."""
        return self.victim.radius

    def inject(self) -> None:
        """Kill them."""
        self.victim.on_node("bash", "-c", SIGNAL, "bash", "KILL", *self.processes)

    def prove(self) -> str:
        """The kubelet says that the container ended by SIGKILL, and counts a restart."""
        status = self.victim.container()
        ended = status.get("lastState", {}).get("terminated") or status["state"].get("terminated") or {}
        if status["restartCount"] <= self.victim.pod.restarts and "terminated" not in status["state"]:
            raise NotYet(f"{self.target} has had {status['restartCount']} restarts, as before")
        return f"{self.target} ended with exit code {ended.get('exitCode')} ({ended.get('reason')})"


@dataclass(frozen=True)
class ServerHung:
    """The processes of a pod's first container are stopped (SIGSTOP) from the node.

    From inside the pod the signal would not reach its first process. Connections are still accepted, by the kernel.
    """

    victim: Victim
    processes: tuple[str, ...]

    name: str = "server-hung"

    @property
    def target(self) -> str:
        """The pod."""
        return str(self.victim)

    @property
    def radius(self) -> Radius:
        """One pod."""
        return self.victim.radius

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The processes go on, those that are left."""
        return (Continue(node=self.victim.pod.node, processes=self.processes),)

    def inject(self) -> None:
        """Stop them."""
        self.victim.on_node("bash", "-c", SIGNAL, "bash", "STOP", *self.processes)

    def prove(self) -> str:
        """The server takes a connection and says nothing."""
        asked = ("bash", "-c", ASK, "bash", self.victim.pod.address, str(self.victim.port), str(SILENCE_S))
        if said := self.victim.on_node(*asked).strip():
            raise NotYet(f"{self.target} answers: {said}")
        return f"{self.target} has said nothing for {SILENCE_S} s"


def started_of(cluster: Cluster, node: str, pids: Sequence[str]) -> tuple[str, ...]:
    """Processes of a node with their start times: a number may be given out again, the pair is not."""
    script = 'for p; do echo "$p:$(sed "s/.*) //" /proc/$p/stat | cut -d" " -f20)"; done'
    return tuple(on_node(cluster, node, "bash", "-c", script, "bash", *pids).split())
