"""Where faults may go, and how much may be hurt at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from kubernetes.client import ApiException

from shakedown.cluster import Cluster
from shakedown.settings import OPT_IN_LABEL
from shakedown.verdict import Inconclusive


class Refused(Inconclusive):
    """A fault would hurt what it must not, or too much at once; the message says what. Nothing was done or seen."""


@dataclass(frozen=True)
class Radius:
    """What one fault hurts at the most.

    `pods` are those of the disturbed workload that it takes, of `out_of` that there are; `nodes` are named where the
    fault acts on a node itself, which only a cluster of the run's own allows.
    """

    namespaces: frozenset[str]
    pods: frozenset[str] = frozenset()
    out_of: int = 0
    nodes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Limits:
    """The most that may be hurt at once: namespaces, and the share of a workload's pods (one pod always may)."""

    namespaces: int
    share: float


def admit(cluster: Cluster, limits: Limits, going_on: Iterable[Radius], new: Radius) -> None:
    """Raise Refused unless a fault may join those that go on."""
    everything = [*going_on, new]
    namespaces = frozenset().union(*(radius.namespaces for radius in everything))
    pods = frozenset().union(*(radius.pods for radius in everything))
    out_of = max(radius.out_of for radius in everything)
    if len(namespaces) > limits.namespaces:
        raise Refused(f"it would hurt the namespaces {', '.join(sorted(namespaces))}, allowed are {limits.namespaces}")
    if len(pods) > 1 and len(pods) > limits.share * out_of:
        raise Refused(
            f"it would hurt {len(pods)} of {out_of} pods at once, allowed are {limits.share:.0%}; faults.share in "
            "shakedown.toml allows more"
        )
    if not cluster.owned:
        require_opt_in(cluster, new)


def require_opt_in(cluster: Cluster, radius: Radius) -> None:
    """Raise Refused for nodes, and for namespaces that their owner has not opened."""
    if radius.nodes:
        raise Refused(f"cluster {cluster.name} is not the run's own: its nodes are let be")
    for namespace in sorted(radius.namespaces):
        try:
            labels = cluster.get(f"/api/v1/namespaces/{namespace}")["metadata"].get("labels", {})
        except ApiException as error:
            raise Refused(f"namespace {namespace} of {cluster.name}: {error.status} {error.reason}") from error
        if labels.get(OPT_IN_LABEL) != "true":
            raise Refused(f"namespace {namespace} of {cluster.name} lacks the label {OPT_IN_LABEL}=true")
