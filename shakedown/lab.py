"""Small pods on chosen nodes that connect, answer and look up names, to ask the cluster's network itself."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import yaml

from shakedown.cluster import Cluster
from shakedown.cluster.access import CommandFailed
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually
from shakedown.workloads import troubles_of

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"  # Kubernetes' own network test program, see its README
GUEST = "shakedown-guest"
SERVE = ("netexec", "--http-port=8080", "--udp-port=-1")
# a program's time by its pod's own clock (10 ms), its exit code and what it said
TIMED = (
    'read -r began _ < /proc/uptime; said=$("$@" 2>&1); code=$?; read -r ended _ < /proc/uptime; '
    'echo "$began $ended $code $said"'
)


@dataclass(frozen=True)
class Reach:
    """What came of one attempt to connect: `said` is the client's own word for a failure."""

    reached: bool
    seconds: float
    said: str


@dataclass(frozen=True)
class Member:
    """One pod of the lab."""

    name: str
    node: str
    address: str


class Lab:
    """A namespace with pods that probe the network; its pods run Kubernetes' agnhost."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def start(self, name: str, node: str, within: float, labels: dict[str, str] | None = None) -> Member:
        """Run one pod on a node, serving HTTP on port 8080, and wait until it is Ready."""
        self.cluster.kubectl(
            "apply",
            "--server-side",
            "--filename=-",
            stdin=yaml.safe_dump(pod_manifest(self.namespace, name, node, {"probe": name, **(labels or {})})),
        )
        return eventually(lambda: self.ready(name), within=within, awaited=f"pod {self.namespace}/{name} is Ready")

    def ready(self, name: str) -> Member:
        """One pod of the lab, Ready; raises NotYet with what keeps it from that."""
        pod = self.cluster.core.read_namespaced_pod(name, self.namespace)
        if not any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or []):
            raise NotYet("; ".join(trouble.text for trouble in troubles_of(pod)))
        return Member(name, pod.spec.node_name, pod.status.pod_ip)

    def run(self, pod: str, *command: str, timeout: float = 30) -> str:
        """Run a program inside one of the lab's pods and give back what it printed."""
        return self.cluster.kubectl("exec", f"--namespace={self.namespace}", pod, "--", *command, timeout=timeout)

    def deliver(self, pod: str, path: str, text: str, within: float) -> None:
        """Put a file into one of the lab's pods, whole.

        What `kubectl exec` reads from its standard input arrives cut short now and then, with exit code 0 (measured:
        17 of 60 files of 113 kB), so the file's size is asked for and the file sent again until all of it is there.
        """
        size = len(text.encode())

        def whole() -> None:
            place = ("exec", "--stdin", f"--namespace={self.namespace}", pod, "--")
            self.cluster.kubectl(*place, "sh", "-c", f"cat > {path}", stdin=text)
            arrived = int(self.run(pod, "wc", "-c", path).split()[0])
            if arrived != size:
                raise NotYet(f"{arrived} of {size} bytes arrived")

        eventually(whole, within=within, awaited=f"{path} is in pod {self.namespace}/{pod}")

    def connect(self, pod: str, host: str, port: int, within: float) -> Reach:
        """Open a TCP connection from a pod; the client gives up after `within` seconds.

        The seconds are the pod's own, name lookup included. Raises CommandFailed where the pod can't be asked at all,
        and Failed where the client did not run: neither says that a door is shut.
        """
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        client = ("/agnhost", "connect", f"--timeout={within:g}s", target)
        told = self.run(pod, "sh", "-c", TIMED, "sh", *client, timeout=within + 30)
        began, ended, code, *said = told.split(maxsplit=3)
        word = said[0].splitlines()[0] if said else ""
        if code not in {"0", "1"}:
            raise Failed(f"the client in pod {self.namespace}/{pod} ended with code {code}: {word}")
        return Reach(code == "0", float(ended) - float(began), word)

    def fetch(self, pod: str, url: str, *options: str) -> str:
        """What a URL answers wget in a pod (without its -T, on which Debian's busybox crashes). Raises Failed."""
        try:
            return self.run(pod, "wget", "-q", "-O", "-", *options, url)
        except CommandFailed as error:
            said = error.stderr.strip().splitlines() or [str(error.code)]
            raise Failed(f"from a pod in {self.namespace}, {url}: {said[0]}") from error

    def apply(self, manifests: str | Sequence[dict[str, object]]) -> None:
        """Apply objects in the lab's namespace, server-side."""
        text = manifests if isinstance(manifests, str) else yaml.safe_dump_all(list(manifests))
        self.cluster.kubectl("apply", "--server-side", f"--namespace={self.namespace}", "--filename=-", stdin=text)

    def delete_all(self, kind: str, within: float) -> None:
        """Delete every object of a kind in the lab's namespace and wait until they are gone."""
        self.cluster.kubectl(
            "delete", kind, "--all", f"--namespace={self.namespace}", f"--timeout={within:g}s", timeout=within + 10
        )


@dataclass(frozen=True)
class Guest:
    """A probing pod in a namespace that isn't the lab's: in whose policies it must find its way, and as whom.

    One that `leaves` gets out of its namespace whatever the policies there say, to try those where it goes.
    """

    namespace: str
    labels: Mapping[str, str]
    leaves: bool = False

    @property
    def objects(self) -> list[dict[str, object]]:
        """The pod, and the policy that lets it out."""
        pod = hardened_manifest(self.namespace, GUEST, {"probe": GUEST, **self.labels})
        meta = {"name": GUEST, "namespace": self.namespace}
        spec = {"podSelector": {"matchLabels": {"probe": GUEST}}, "policyTypes": ["Egress"], "egress": [{}]}
        policy: dict[str, object] = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": meta,
            "spec": spec,
        }
        return [policy, pod] if self.leaves else [pod]


@dataclass(frozen=True)
class Places:
    """A server on one worker, a client beside it and one on the other worker."""

    lab: Lab
    server: Member
    near: Member
    far: Member


@dataclass(frozen=True)
class Visitors:
    """Probing pods where the stack's own pods and its clients live; `server` is in the servers' place and policy.

    `stranger` and `default` are in namespaces that no policy names: one of the run's own, and Kubernetes' default.
    """

    gateway: Lab
    monitoring: Lab
    stranger: Lab
    default: Lab
    server: Lab


def pod_manifest(namespace: str, name: str, node: str, labels: dict[str, str]) -> dict[str, object]:
    """A pod of agnhost on one node; /models of the node is mounted for tests of the model store."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,  # it has nothing to finish
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "agnhost",
                    "image": AGNHOST,
                    "imagePullPolicy": "IfNotPresent",
                    "args": list(SERVE),
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/hostname", "port": 8080}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "store", "mountPath": "/models"}],
                }
            ],
            "volumes": [{"name": "store", "hostPath": {"path": "/models", "type": "Directory"}}],
        },
    }


def connect_all(lab_: Lab, pod: str, targets: Mapping[str, tuple[str, int]], within: float) -> dict[str, Reach]:
    """Open a TCP connection from one pod to each target at the same time: {target's name: what came of it}."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        tries = {name: pool.submit(lab_.connect, pod, *target, within) for name, target in targets.items()}
        return {name: attempt.result() for name, attempt in tries.items()}


@contextmanager
def lab(cluster: Cluster, namespace: str, within: float) -> Iterator[Lab]:
    """A lab in a namespace of its own, which is deleted on the way out and waited for."""
    cluster.core.create_namespace({"metadata": {"name": namespace}})
    try:
        yield Lab(cluster, namespace)
    finally:
        cluster.kubectl(
            "delete", "namespace", namespace, "--ignore-not-found", f"--timeout={within:g}s", timeout=within + 10
        )


def hardened_manifest(namespace: str, name: str, labels: dict[str, str]) -> dict[str, object]:
    """A pod of agnhost that a namespace with the strictest pod security takes, quota included; any node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 1,  # it has nothing to finish
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "agnhost",
                    "image": AGNHOST,
                    "imagePullPolicy": "IfNotPresent",
                    "args": list(SERVE),
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
                }
            ],
        },
    }


@contextmanager
def guests(cluster: Cluster, wanted: Sequence[Guest], within: float) -> Iterator[dict[str, Lab]]:
    """One probing pod in each of these namespaces: {namespace: lab}; pods, and namespaces made for them, go again."""
    there = {item.metadata.name for item in cluster.core.list_namespace().items}
    made = [guest.namespace for guest in wanted if guest.namespace not in there]
    labs = {guest.namespace: Lab(cluster, guest.namespace) for guest in wanted}
    limit = f"--timeout={within:g}s"
    try:
        for namespace in made:
            cluster.core.create_namespace({"metadata": {"name": namespace}})
        for guest in wanted:
            labs[guest.namespace].apply(guest.objects)
        for place in labs.values():
            eventually(partial(place.ready, GUEST), within=within, awaited=f"guest in {place.namespace} is Ready")
        yield labs
    finally:
        for namespace in labs.keys() - made:
            cluster.kubectl(
                "delete", "pod,networkpolicy", GUEST, f"--namespace={namespace}", "--ignore-not-found", limit
            )
        for namespace in made:
            cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", limit, timeout=within + 10)
