"""Load from inside the run's own cluster: one master and its workers, each a pod, each held against the ledger's clock.

They run on the control plane's node: no server loses its place to them, no fault of a worker node hits them, and they
come in by the very address that 127.0.0.1 leads to.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shakedown.cluster import Cluster
from shakedown.cluster.config import GATEWAY_NODE_PORT
from shakedown.far import MASTER, PROGRAM, crew_of
from shakedown.generators import Crew
from shakedown.lab import Lab
from shakedown.ledger import Ledger
from shakedown.settings import Deadlines
from shakedown.verdict import Failed, Inconclusive, UnusableEnvironment
from shakedown.wait import NotYet, eventually

NAMESPACE = "shakedown-load"
LONGEST_S = 12 * 3600  # that a pod stays if the run is killed and none follows; longer than any run
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class Workers:
    """Master and workers in a cluster of the run's own; `front` is its front door as pods see it, host:port.

    Its pods are made before the first load, and again before the next where they are gone.
    """

    cluster: Cluster
    image: str
    workers: int
    front: str
    within: float

    @property
    def names(self) -> list[str]:
        """The pods of the workers."""
        return [f"worker-{number}" for number in range(self.workers)]

    def address(self, address: str) -> str:
        """The front door for pods. Raises UnusableEnvironment for any other address: nothing else gets this load."""
        if address != f"127.0.0.1:{self.cluster.gateway_port}":
            raise UnusableEnvironment(
                f"load workers send to the front door only, not to {address}; --load-workers 0 does"
            )
        return self.front

    @contextmanager
    def running(self, order: Mapping[str, Any], bodies: bytes, ledger: Ledger) -> Iterator[Crew]:
        """All of them on one order, each worker on its share of it; they begin together."""
        addresses = self.ready()
        commands = {name: self.inside(name) for name in (MASTER, *self.names)}
        with crew_of(commands, addresses[MASTER], order, bodies, ledger) as crew:
            yield crew

    def inside(self, pod: str) -> tuple[str, ...]:
        """The command that runs a generator in a pod.

        Over SPDY: kubectl's web socket (measured with 1.34) no longer passes on the end of standard input once nothing
        was written to it for 60 s, and a load would go on until it is killed.
        """
        named = (f"--kubeconfig={self.cluster.kubeconfig}", f"--context={self.cluster.context}")
        return (
            "env",
            "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false",
            str(self.cluster.kubectl_bin),
            *named,
            "exec",
            "--stdin",
            f"--namespace={NAMESPACE}",
            pod,
            "--",
            *PROGRAM,
        )

    def ready(self) -> dict[str, str]:
        """Every pod's address, once all are Ready; raises Inconclusive where they don't get there."""
        lab = Lab(self.cluster, NAMESPACE)

        def up() -> dict[str, str]:
            """The load workers are Ready."""
            there = self.cluster.core.list_namespaced_pod(NAMESPACE).items
            if going := [pod.metadata.name for pod in there if pod.metadata.deletion_timestamp]:
                raise NotYet(f"{going[0]} is on its way out")
            if not {pod.metadata.name for pod in there} >= {MASTER, *self.names}:
                lab.apply([*own_objects(), *(pod_manifest(name, self.image) for name in (MASTER, *self.names))])
                raise NotYet("they were just made")
            return {name: lab.ready(name).address for name in (MASTER, *self.names)}

        try:
            return eventually(up, within=self.within)
        except Failed as late:
            raise Inconclusive(f"there are no load workers to send anything: {late}") from late


@contextmanager
def load_workers(cluster: Cluster, image: str, count: int, deadlines: Deadlines) -> Iterator[Workers]:
    """Master and workers in a namespace of their own, which is deleted on the way out and waited for.

    What a killed run leaves the next one deletes with all else that isn't of the cluster's baseline. Raises
    PermissionError for a cluster that isn't the run's own.
    """
    if not cluster.owned:
        raise PermissionError(f"cluster {cluster.name} is not this run's own: nothing is applied to it")
    front = next(node.address for node in cluster.nodes() if node.control_plane)
    try:
        yield Workers(cluster, image, count, f"{front}:{GATEWAY_NODE_PORT}", deadlines.pods)
    finally:
        limit = ("--ignore-not-found", f"--timeout={deadlines.deletion:g}s")
        cluster.kubectl("delete", "namespace", NAMESPACE, *limit, timeout=deadlines.deletion + 10)


def own_objects() -> list[dict[str, object]]:
    """The namespace, as strict as they come, and an account that may do nothing."""
    strict = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": strict}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "generator", "namespace": NAMESPACE}},
    ]


def pod_manifest(name: str, image: str) -> dict[str, object]:
    """A pod that waits to be told what to send."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "activeDeadlineSeconds": LONGEST_S,
            "terminationGracePeriodSeconds": 1,  # a load is ended by its standard input, before
            "serviceAccountName": "generator",
            "automountServiceAccountToken": False,
            "nodeSelector": {CONTROL_PLANE: ""},
            "tolerations": [{"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container(image)],
            "volumes": [{"name": "orders", "emptyDir": {"sizeLimit": "256Mi"}}],
        },
    }


def container(image: str) -> dict[str, object]:
    """It sleeps between two loads. What it asks for is its weight where the node is busy, not what it needs.

    As much as the API server asks for on kind, so that it isn't late behind it while pods are made: it may not raise
    its priority, as a generator on this machine does. Three fit beside the control plane on 2 cores.
    """
    return {
        "name": "generator",
        "image": image,
        "imagePullPolicy": "Never",  # no registry has it
        "command": ["sleep", "infinity"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "300m", "memory": "128Mi"}, "limits": {"memory": "768Mi"}},
        "volumeMounts": [{"name": "orders", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }
