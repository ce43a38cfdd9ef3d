"""Cluster DNS that answers, and wrongly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shakedown.api_paths import deployment_path
from shakedown.cluster import Cluster
from shakedown.cluster.host import on_node
from shakedown.faults.guard import Radius
from shakedown.faults.undo import AnyAct, Patch, send
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet

NAMESPACE, WORKLOAD = "kube-system", "coredns"
CONFIG = f"/api/v1/namespaces/{NAMESPACE}/configmaps/coredns"
SERVICE = f"/api/v1/namespaces/{NAMESPACE}/services/kube-dns"
ANYBODY = ".:53 {"  # the server block of all names, as kubeadm writes it
NOWHERE = "192.0.2.1"  # for documentation (RFC 5737): leads to nobody
LIE = f"""
    template IN A cluster.local {{
        answer "{{{{ .Name }}}} 5 IN A {NOWHERE}"
    }}"""
MARK = "shakedown.dev/names"
# Asks for the address of kube-dns over UDP, and prints the last four bytes of what comes back. No byte of it may be a
# line's end (10, a length too), or bash sends it in two packets.
ASK = r"""
exec 3<>"/dev/udp/$1/53" || exit 0
printf '\x12\x34\1\0\0\1\0\0\0\0\0\0\x08kube-dns\x0bkube-system\x03svc\x07cluster\x05local\0\0\1\0\1' >&3
timeout 2 dd bs=512 count=1 <&3 2>/dev/null | tail -c 4 | od -An -tu1
"""


@dataclass(frozen=True)
class NamesWrong:
    """Every name of the cluster leads to an address where nobody is. `corefile` and `template` are those of before.

    CoreDNS looks at its configuration only now and then, so it is rolled out anew, here and at the undoing.
    """

    cluster: Cluster
    corefile: str
    template: Mapping[str, Any]

    name: str = "names-wrong"

    @property
    def target(self) -> str:
        """The Deployment."""
        return f"{NAMESPACE}/{WORKLOAD}"

    @property
    def radius(self) -> Radius:
        """Its namespace; none of the pods that serve."""
        return Radius(frozenset({NAMESPACE}))

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The configuration of before, then the template of before, whose new pods read it."""
        put = {"op": "replace", "path": "/data/Corefile", "value": self.corefile}
        back = {"op": "replace", "path": "/spec/template", "value": dict(self.template)}
        return (
            Patch(path=CONFIG, operations=(put,)),
            Patch(path=deployment_path(NAMESPACE, WORKLOAD), operations=(back,)),
        )

    def inject(self) -> None:
        """Change both."""
        send(self.cluster, "PATCH", CONFIG, {"data": {"Corefile": self.corefile.replace(ANYBODY, ANYBODY + LIE)}})
        marked = {"metadata": {"annotations": {MARK: self.name}}}
        send(self.cluster, "PATCH", deployment_path(NAMESPACE, WORKLOAD), {"spec": {"template": marked}})

    def prove(self) -> str:
        """A name whose address is known leads to the wrong one, asked three times: old pods may still answer too."""
        said = [address_told(self.cluster) for _ in range(3)]
        if set(said) != {NOWHERE}:
            raise NotYet(f"kube-dns is said to be at {', '.join(said)}")
        return f"{self.target} says that kube-dns is at {NOWHERE}"


def address_told(cluster: Cluster) -> str:
    """Where the cluster's DNS says that it is itself, asked from a node; empty where it says nothing."""
    service = cluster.get(SERVICE)["spec"]["clusterIP"]
    node = next(node.name for node in cluster.nodes() if node.control_plane)
    return ".".join(on_node(cluster, node, "bash", "-c", ASK, "bash", service).split())


def names_wrong(cluster: Cluster) -> NamesWrong:
    """The fault that makes CoreDNS lie. Raises Inconclusive for a configuration that isn't kubeadm's."""
    corefile = cluster.get(CONFIG)["data"]["Corefile"]
    if ANYBODY not in corefile:
        raise Inconclusive(f"ConfigMap {NAMESPACE}/coredns has no block {ANYBODY!r} to spoil:\n{corefile}")
    return NamesWrong(cluster, corefile, cluster.get(deployment_path(NAMESPACE, WORKLOAD))["spec"]["template"])
