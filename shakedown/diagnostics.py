"""What is kept of a failure: the objects' state, events and logs, and the ledger's window; secrets redacted."""

import re
from collections.abc import Sequence
from pathlib import Path

from shakedown.cluster import Cluster
from shakedown.cluster.access import CommandFailed
from shakedown.ledger import Event, Ledger
from shakedown.verdict import Inconclusive

LOG_LINES = 300
COMMAND_S = 15.0

SECRETS = [
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+"),  # a JSON web token, as service accounts have
    re.compile(r"(?i)(?<=bearer )\s*[\w.~+/=-]{8,}"),
    re.compile(r"(?i)(?<=basic )\s*[\w+/=]{8,}"),
    re.compile(
        r"(?i)(?P<keep>[\"']?\w*(?:password|passwd|secret|token|api[_-]?key)\w*[\"']?\s*[:=]\s*)[\"']?[^\s\"',}]+"
    ),
    re.compile(r"(?P<keep>://[^/\s:@]+:)[^/\s@]+(?=@)"),
]


def redact(text: str) -> str:
    """The text without tokens, keys, passwords and credentials in addresses."""
    for secret in SECRETS:
        text = secret.sub(lambda match: f"{match.groupdict().get('keep', '')}[redacted]", text)
    return text


def collect(cluster: Cluster, namespaces: Sequence[str], folder: Path) -> None:
    """Write what the cluster says of itself and of these namespaces; never reads a Secret.

    A cluster that doesn't answer leaves a file that says so: nothing here raises for that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not keep(cluster, folder / "nodes.txt", "get", "nodes", "-o", "wide"):
        return
    for namespace in namespaces:
        here = f"--namespace={namespace}"
        kinds = "pods,deployments,replicasets,jobs,services,endpointslices,hpa,pvc,networkpolicies,pdb"
        keep(cluster, folder / f"{namespace}.objects.txt", "get", kinds, "-o", "wide", here)
        keep(cluster, folder / f"{namespace}.describe.txt", "describe", "pods,deployments,jobs", here)
        keep(cluster, folder / f"{namespace}.events.txt", "get", "events", "--sort-by=.lastTimestamp", here)
        for pod in pods_of(cluster, namespace):
            logs = ("logs", pod, "--all-containers", "--prefix", f"--tail={LOG_LINES}", here)
            keep(cluster, folder / f"{namespace}.{pod}.log", *logs)


def pods_of(cluster: Cluster, namespace: str) -> list[str]:
    """The names of a namespace's pods; none where nobody answers."""
    try:
        listed = cluster.kubectl("get", "pods", "-o", "name", f"--namespace={namespace}", timeout=COMMAND_S)
    except (CommandFailed, Inconclusive):
        return []
    return [line.removeprefix("pod/") for line in listed.split()]


def keep(cluster: Cluster, file: Path, *command: str) -> bool:
    """Keep what one kubectl command prints; False where it failed."""
    try:
        file.write_text(redact(cluster.kubectl(*command, timeout=COMMAND_S)))
    except (CommandFailed, Inconclusive) as error:
        file.write_text(redact(f"could not be had: {error}\n"))
        return False
    return True


def keep_window(ledger: Ledger, start: Event | float, folder: Path) -> None:
    """Keep the ledger's part from `start` to now."""
    folder.mkdir(parents=True, exist_ok=True)
    events = ledger.window(start)
    text = "".join(f"{event.at:.3f} {event.kind} {event.fields}\n" for event in events)
    (folder / "window.txt").write_text(redact(text))
