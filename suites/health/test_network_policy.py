"""NetworkPolicy is enforced: each denial is seen beside the same packet let through."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.lab import Places, Reach
from shakedown.settings import Deadlines
from shakedown.wait import NotYet, eventually

pytestmark = [pytest.mark.smoke, pytest.mark.test_bed]

API = "networking.k8s.io/v1"
DENY_ALL: dict[str, object] = {
    "apiVersion": API,
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny-all"},
    "spec": {"podSelector": {"matchLabels": {"probe": "server"}}, "policyTypes": ["Ingress", "Egress"]},
}
ADMIT_FAR: dict[str, object] = {
    "apiVersion": API,
    "kind": "NetworkPolicy",
    "metadata": {"name": "admit-far"},
    "spec": {
        "podSelector": {"matchLabels": {"probe": "server"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": {"probe": "far"}}}],
                "ports": [{"protocol": "TCP", "port": "http"}],
            }
        ],
    },
}


@contextmanager
def policies(places: Places, within: float, *objects: dict[str, object]) -> Iterator[None]:
    """Policies of the lab, deleted on the way out."""
    places.lab.apply(list(objects))
    try:
        yield
    finally:
        places.lab.delete_all("networkpolicy", within)


def await_reach(places: Places, pod: str, reached: bool, within: float) -> Reach:  # noqa: FBT001 - what is awaited
    """Wait until a connection from a pod to the server comes out as it should."""

    def settled() -> Reach:
        reach = places.lab.connect(pod, places.server.address, 8080, 1)
        if reach.reached is not reached:
            raise NotYet(f"{pod} {'reaches' if reach.reached else f'does not reach ({reach.said})'} the server")
        return reach

    wanted = "reaches" if reached else "no longer reaches"
    return eventually(settled, within=within, awaited=f"{pod} {wanted} the server")


def test_denied_ingress_is_dropped_on_one_node_and_across_nodes(
    places: Places, deadlines: Deadlines, evidence: Evidence
) -> None:
    """A pod that a policy closes is reached by nobody, from its own node and from another; before, it was by both."""
    before = [places.lab.connect(pod, places.server.address, 8080, 3) for pod in ("near", "far")]
    closed = [reach.said for reach in before if not reach.reached]
    assert not closed, f"not reached even without a policy: {closed}"
    with policies(places, deadlines.deletion, DENY_ALL):
        near = await_reach(places, "near", reached=False, within=deadlines.packet * 2)
        far = await_reach(places, "far", reached=False, within=deadlines.packet * 2)
    after = [await_reach(places, pod, reached=True, within=deadlines.packet * 2) for pod in ("near", "far")]
    assert [near.said, far.said] == ["TIMEOUT", "TIMEOUT"]
    evidence(f"reached before and after by {len(after)} pods; under the policy {near.said} (same node, other node)")


def test_denied_egress_is_dropped(cluster: Cluster, places: Places, deadlines: Deadlines, evidence: Evidence) -> None:
    """A pod that a policy closes reaches nobody, on its own node, on another, and not the DNS."""
    dns = cluster.core.read_namespaced_service("kube-dns", "kube-system").spec.cluster_ip
    targets = {"near": (places.near.address, 8080), "far": (places.far.address, 8080), "DNS": (dns, 53)}
    before = {name: places.lab.connect("server", *target, 3) for name, target in targets.items()}
    closed = {name: reach.said for name, reach in before.items() if not reach.reached}
    assert not closed, f"not reached even without a policy: {closed}"
    with policies(places, deadlines.deletion, DENY_ALL):
        await_reach(places, "near", reached=False, within=deadlines.packet * 2)
        under = {name: places.lab.connect("server", *target, 1).said for name, target in targets.items()}
    assert under == dict.fromkeys(targets, "TIMEOUT")
    evidence(f"{', '.join(targets)} reached before; under the policy TIMEOUT for each")


def test_admitted_client_gets_in_and_no_other(places: Places, deadlines: Deadlines, evidence: Evidence) -> None:
    """A policy that admits one client by label and named port lets it in, and keeps out the one beside the server."""
    with policies(places, deadlines.deletion, DENY_ALL, ADMIT_FAR):
        await_reach(places, "near", reached=False, within=deadlines.packet * 2)
        far = await_reach(places, "far", reached=True, within=deadlines.packet * 2)
        near = places.lab.connect("near", places.server.address, 8080, 1)
    assert not near.reached
    assert far.reached
    evidence(f"far got in within {far.seconds:.2f} s while near got {near.said}")
