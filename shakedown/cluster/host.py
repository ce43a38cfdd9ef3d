"""Commands on a kind node itself, through the Docker engine: only for clusters that the run made."""

import json
import subprocess
from typing import Any

from shakedown.cluster.access import Cluster, CommandFailed
from shakedown.settings import Provider
from shakedown.verdict import Inconclusive


def on_node(cluster: Cluster, node: str, *command: str, timeout: float = 20) -> str:
    """Run a command on a node of the run's own kind cluster and give back what it printed.

    Raises PermissionError for any other cluster, CommandFailed with what it said, Inconclusive when it hangs.
    """
    if not cluster.owned or cluster.provider is not Provider.KIND:
        raise PermissionError(f"cluster {cluster.name} is not this run's own: nothing is run on its nodes")
    argv = ["docker", "exec", node, *command]
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
