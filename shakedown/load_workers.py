"""Load from inside the run's own cluster: one master and its workers, each a pod, each held against the ledger's clock.

They run on the control plane's node: no server loses its place to them, no fault of a worker node hits them, and they
come in by the very address that 127.0.0.1 leads to.
"""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from shakedown.cluster import Cluster
from shakedown.cluster.access import quiet_env
from shakedown.cluster.config import GATEWAY_NODE_PORT
from shakedown.generators import START_S, Crew, Generator
from shakedown.lab import Lab
from shakedown.ledger import Ledger, now
from shakedown.orders import ASK, GO, MOMENT, CutShort, framed, whole
from shakedown.settings import Deadlines
from shakedown.verdict import Failed, Inconclusive, UnusableEnvironment
from shakedown.wait import NotYet, eventually
from shakedown.window import LATE_S

NAMESPACE = "shakedown-load"
MASTER = "master"
PROGRAM = ("python3", "-m", "locustfiles.inside")
QUESTIONS = 10  # for the time; the quickest answer counts
LEAD_S = 0.5  # between saying when to begin and that moment: the word has to arrive before it
LONGEST_S = 12 * 3600  # that a pod stays if the run is killed and none follows; longer than any run
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class Clock:
    """A generator's clock: `offset` is what it shows more than the ledger's, known to within `unsure`, in seconds."""

    offset: float
    unsure: float

    def shifted(self, line: bytes) -> bytes:
        """A line of the ledger as that clock tells it, in the ledger's own time."""
        event = orjson.loads(line)
        for name in ("at", "scheduled", "settled"):
            if name in event:
                event[name] -= self.offset
        return orjson.dumps(event) + b"\n"


def clock_of(questions: int, told: "subprocess.Popen[bytes]") -> Clock:
    """What a generator's clock shows, by the quickest of its answers. Raises CutShort where it gives none."""
    assert told.stdin is not None  # noqa: S101 - Popen was asked for pipes
    assert told.stdout is not None  # noqa: S101 - the same
    found = []
    for _ in range(questions):
        asked = now()
        told.stdin.write(ASK)
        (moment,) = MOMENT.unpack(whole(told.stdout.fileno(), MOMENT.size))
        answered = now()
        found.append(Clock(moment - (asked + answered) / 2, (answered - asked) / 2))
    return min(found, key=lambda clock: clock.unsure)


@dataclass
class Together:
    """When all workers of one load begin: named once the last of them is ready."""

    count: int
    moment: float = 0.0
    barrier: threading.Barrier = field(init=False)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.count, self.name)

    def name(self) -> None:
        """Name the moment, on the ledger's clock."""
        self.moment = now() + LEAD_S


@dataclass
class Hearing:
    """Gives one generator its order, and brings what it says to the ledger, until it ends."""

    process: "subprocess.Popen[bytes]"
    order: Mapping[str, Any]
    bodies: bytes
    ledger: Ledger
    together: Together
    errors: Path

    def run(self) -> None:
        """All of it; where that doesn't work the generator is ended, and its last words say why."""
        try:
            clock = self.instruct()
            self.listen(clock)
        except (OSError, ValueError, CutShort, threading.BrokenBarrierError) as error:
            said = "the others were not ready" if isinstance(error, threading.BrokenBarrierError) else str(error)
            self.process.kill()
            self.process.wait()
            if not self.errors.stat().st_size:  # what it said itself is nearer to the cause
                self.errors.write_text(said)
            self.together.barrier.abort()

    def instruct(self) -> Clock:
        """Send the order, ask for the time, and let locust start. Raises ValueError for too vague a clock."""
        self.send(framed(json.dumps(dict(self.order)).encode()) + framed(self.bodies))
        clock = clock_of(QUESTIONS, self.process)
        worker = {"flow": self.order["flow"], "worker": self.order["worker"]}
        self.ledger.record("clock", **worker, offset=clock.offset, unsure=clock.unsure)
        if clock.unsure > LATE_S:
            raise ValueError(f"its clock is known to within {clock.unsure:.2f} s only, {LATE_S:g} s are needed")
        self.send(GO)
        return clock

    def listen(self, clock: Clock) -> None:
        """Write what it says to the ledger; tell it when to begin once all are ready."""
        assert self.process.stdout is not None  # noqa: S101 - Popen was asked for a pipe
        lines = self.process.stdout.fileno()
        with self.ledger.path.open("ab", buffering=0) as out, os.fdopen(lines, "rb", closefd=False) as said:
            for line in said:
                out.write(clock.shifted(line))
                if b'"step":"ready"' in line:
                    self.together.barrier.wait(START_S)
                    self.send(MOMENT.pack(self.together.moment + clock.offset))

    def send(self, content: bytes) -> None:
        """Write all of it to the generator's standard input."""
        assert self.process.stdin is not None  # noqa: S101 - Popen was asked for a pipe
        rest = memoryview(content)
        while rest:
            rest = rest[self.process.stdin.write(rest) :]


@contextmanager
def attended(
    command: tuple[str, ...], name: str, parts: tuple[Mapping[str, Any], bytes], ledger: Ledger, together: Together
) -> Iterator[Generator]:
    """A generator at the other end of a command's standard input and output, which stay open while it may live.

    Whatever end this process finds, the kernel closes its standard input, which tells the generator to stop.
    """
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        errors = Path(folder) / "errors"
        with errors.open("wb") as file:
            process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=quiet_env(),
                start_new_session=True,  # Ctrl-C is for the run, which ends its load in order
            )
        assert process.stdin is not None  # noqa: S101 - Popen was asked for a pipe
        hearing = Hearing(process, *parts, ledger, together, errors)
        thread = threading.Thread(target=hearing.run, name=name, daemon=True)
        thread.start()
        generator = Generator(name, process, errors, process.stdin.close, thread)
        try:
            yield generator
        finally:
            together.barrier.abort()
            generator.kill()
            process.stdin.close()


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
        """The command that runs a generator in a pod."""
        named = (f"--kubeconfig={self.cluster.kubeconfig}", f"--context={self.cluster.context}")
        return (
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
def crew_of(
    commands: Mapping[str, tuple[str, ...]], master: str, order: Mapping[str, Any], bodies: bytes, ledger: Ledger
) -> Iterator[Crew]:
    """The master and the workers that these commands lead to, by their names; `master` is its address for them."""
    names = [name for name in commands if name != MASTER]
    together = Together(len(names))
    with ExitStack() as life:

        def enter(name: str, **part: object) -> Generator:
            whole_order = {**order, "workers": len(names), "together": True, **part}
            return life.enter_context(attended(commands[name], f"load {name}", (whole_order, bodies), ledger, together))

        keeper = enter(MASTER, worker=-1, master="")
        yield Crew([enter(name, worker=number, master=master) for number, name in enumerate(names)], [keeper])


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
    """It sleeps between two loads. What it asks for is its weight where the node is busy, not what it needs."""
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
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "768Mi"}},
        "volumeMounts": [{"name": "orders", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }
