"""A neighbour that takes the CPU of a node."""

from dataclasses import dataclass

from shakedown.cluster import Cluster
from shakedown.cluster.host import on_node
from shakedown.faults.guard import Radius
from shakedown.faults.undo import AnyAct, Delete, send
from shakedown.lab import AGNHOST
from shakedown.wait import NotYet

POD = "shakedown-neighbour"
MARK = "shakedown-burns"  # in its command line, by which the node tells its processes
BURN = f"for _ in 1 2; do sh -c 'while :; do :; done' {MARK} & done; wait"
USED_S = 2  # CPU seconds that it must have had: it runs, and has its share


@dataclass(frozen=True)
class CpuStarved:
    """A pod on a node asks for a core and burns all that it gets; the servers there fall back to their share."""

    cluster: Cluster
    namespace: str
    node: str

    name: str = "cpu-starved"

    @property
    def target(self) -> str:
        """The node."""
        return self.node

    @property
    def radius(self) -> Radius:
        """Whoever is on the node is slower, and nobody's end."""
        return Radius(frozenset({self.namespace}), nodes=frozenset({self.node}))

    @property
    def path(self) -> str:
        """Where the API server keeps the pod."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{POD}"

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The pod goes."""
        return (Delete(path=self.path),)

    def inject(self) -> None:
        """Start it."""
        send(self.cluster, "POST", self.path.rpartition("/")[0], self.manifest())

    def manifest(self) -> dict[str, object]:
        """The pod: a core is asked for, so that its weight is ten times a server's."""
        container = {
            "name": "burner",
            "image": AGNHOST,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", BURN],
            "resources": {"requests": {"cpu": "1", "memory": "16Mi"}},
        }
        spec = {"nodeName": self.node, "terminationGracePeriodSeconds": 0, "containers": [container]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}

    def prove(self) -> str:
        """Its processes have used CPU time."""
        listed = on_node(self.cluster, self.node, "ps", "-eo", "times=,args=").splitlines()
        used = sum(int(line.split()[0]) for line in listed if line.endswith(MARK) and "while :" in line)
        if used < USED_S:
            raise NotYet(f"{POD} on {self.node} has used {used} s of CPU time")
        return f"{POD} on {self.node} has used {used} s of CPU time so far"
