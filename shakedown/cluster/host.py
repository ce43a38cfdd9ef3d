"""Commands on a kind node itself, through the Docker engine: only for clusters that the run made."""

import json
import subprocess
from typing import Any, Literal

from shakedown.cluster.access import Cluster, CommandFailed
from shakedown.settings import Provider
from shakedown.verdict import Inconclusive

ENGINE_S = 30.0


def on_node(cluster: Cluster, node: str, *command: str, timeout: float = 20) -> str:
    """Run a command on a node of the run's own kind cluster and give back what it printed.

    Raises PermissionError for any other cluster, CommandFailed with what it said, Inconclusive when it hangs.
    """
    require_own(cluster)
    return docker("exec", node, *command, timeout=timeout)


def engine(cluster: Cluster, action: Literal["pause", "unpause", "stop", "start"], node: str, *options: str) -> None:
    """Pause, unpause, stop or start the container of one of the cluster's own nodes; raises as on_node does."""
    state_of(cluster, node)
    docker(action, *options, node, timeout=ENGINE_S)


def state_of(cluster: Cluster, node: str) -> str:
    """The state of a node's container, such as running, paused or exited. Raises PermissionError for another's."""
    require_own(cluster)
    asked = '{{.State.Status}} {{index .Config.Labels "io.x-k8s.kind.cluster"}}'
    state, _, owner = docker("inspect", f"--format={asked}", node, timeout=ENGINE_S).strip().partition(" ")
    if owner != cluster.name:
        raise PermissionError(f"container {node} is no node of cluster {cluster.name}: it is let be")
    return state


def require_own(cluster: Cluster) -> None:
    """Refuse a cluster that isn't one of kind's that this run owns."""
    if not cluster.owned or cluster.provider is not Provider.KIND:
        raise PermissionError(f"cluster {cluster.name} is not this run's own: nothing is run on its nodes")


def docker(*arguments: str, timeout: float) -> str:
    """What the Docker engine's client prints; raises CommandFailed with what it said, Inconclusive when it hangs."""
    argv = ["docker", *arguments]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as hung:
        raise Inconclusive(f"{' '.join(argv)}: no answer within {timeout:g} s") from hung
    if done.returncode:
        raise CommandFailed(f"{' '.join(argv)}: {done.stderr.strip()}", done.returncode, done.stderr)
    return done.stdout


def seal_counters(cluster: Cluster, node: str) -> dict[str, int]:
    """Packets that the node's seal has refused so far, by counter."""
    listed: dict[str, Any] = json.loads(
        on_node(cluster, node, "nft", "--json", "list", "counters", "table", "inet", "seal")
    )
    return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listed["nftables"] if "counter" in entry}
