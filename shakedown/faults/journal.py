"""The write-ahead journal of faults: on disk and in the cluster, so that whoever comes next can undo what is left."""

import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock
from kubernetes.client import ApiException
from pydantic import BaseModel, ConfigDict, ValidationError
from urllib3.exceptions import HTTPError

from shakedown.cluster import Cluster
from shakedown.faults.undo import AnyAct, perform, send, within_namespaces
from shakedown.settings import Provider
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet, eventually

FOLDER = "faults"  # below a cluster's own folder
ANNOTATION = "fault.shakedown.dev/"
API_S = 60.0  # an API server that was killed or unpaused is back by then


class Whereabouts(BaseModel):
    """How the cluster is reached, for a process that knows nothing else of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    provider: Provider
    kubeconfig: Path
    context: str
    kubectl_bin: Path
    owned: bool
    gateway_port: int
    store: Path | None

    def cluster(self) -> Cluster:
        """The cluster."""
        return Cluster(**dict(self))


class Entry(BaseModel):
    """One fault and how it is undone; times are seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    fault: str
    target: str
    namespace: str  # whose annotation tells of it
    host: str
    since: float
    deadline: float
    undo: tuple[AnyAct, ...]
    whereabouts: Whereabouts


@dataclass(frozen=True)
class Journal:
    """The journal of one cluster: a folder with one file per fault, and an annotation of one namespace for each."""

    cluster: Cluster
    folder: Path
    namespace: str

    def write(self, fault: str, target: str, undo: Sequence[AnyAct], seconds: float) -> Entry:
        """Note a fault that is about to begin, on disk before anything else; `seconds` is the longest it may last."""
        moment = time.time()
        entry = Entry(
            id=uuid.uuid4().hex[:12],  # part of an annotation's name, which takes neither every sign nor any length
            fault=fault,
            target=target,
            namespace=self.namespace,
            host=socket.gethostname(),
            since=moment,
            deadline=moment + seconds,
            undo=tuple(undo),
            whereabouts=Whereabouts.model_validate(self.cluster, from_attributes=True),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_through(self.file(entry), entry.model_dump_json(indent=1))
        try:
            annotate(self.cluster, entry.namespace, {f"{ANNOTATION}{entry.id}": entry.model_dump_json()})
        except Exception:
            self.file(entry).unlink()  # nothing was begun
            raise
        return entry

    def file(self, entry: Entry) -> Path:
        """Where an entry lies on disk."""
        return self.folder / f"{entry.id}.json"

    def undo(self, entry: Entry) -> bool:
        """Undo one fault and strike it off; False where somebody else has done so meanwhile.

        It is struck off last, and on disk after all, so that an undoing that is cut short is done again.
        """
        with FileLock(self.folder / ".undoing.lock"):
            if not self.file(entry).exists():
                return False
            undo_all(self.cluster, entry)
            self.file(entry).unlink()
            return True

    def left(self) -> list[Entry]:
        """The faults that are on disk, the latest first, since it may stand on an earlier one."""
        entries = [read(file) for file in self.folder.glob("*.json")]
        return sorted(entries, key=lambda entry: -entry.since)


def read(file: Path) -> Entry:
    """One entry from disk."""
    return Entry.model_validate_json(file.read_text())


def undo_all(cluster: Cluster, entry: Entry) -> None:
    """Do every act of an entry, and take its annotation off the cluster."""
    for act in entry.undo:
        patiently(partial(perform, cluster, act), f"fault {entry.id} is undone")
    patiently(lambda: annotate(cluster, entry.namespace, {f"{ANNOTATION}{entry.id}": None}), "its annotation is gone")


def patiently(work: Callable[[], object], awaited: str) -> None:
    """Do something that needs the API server, which the fault itself may have taken away for a while."""

    def done() -> None:
        try:
            work()
        except (ApiException, HTTPError, OSError) as error:
            raise NotYet(f"{type(error).__name__}: {str(error)[:200]}") from error

    eventually(done, within=API_S, awaited=awaited)


def annotate(cluster: Cluster, namespace: str, annotations: dict[str, str | None]) -> None:
    """Set annotations of a namespace, or take those off that are None; a namespace that is gone needs none."""
    send(cluster, "PATCH", f"/api/v1/namespaces/{namespace}", {"metadata": {"annotations": annotations}})


def write_through(file: Path, text: str) -> None:
    """Write a file whole, and have the disk say so before going on."""
    part = file.with_suffix(".part")
    with part.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def announced(cluster: Cluster, namespace: str) -> list[Entry]:
    """The faults that the cluster itself tells of, the latest first.

    In a cluster that isn't the run's own only those of the one namespace, and only what undoes something inside it:
    who may annotate a namespace must not be able to command more than that.
    """
    path = "/api/v1/namespaces" if cluster.owned else f"/api/v1/namespaces?fieldSelector=metadata.name%3D{namespace}"
    spaces = [item["metadata"] for item in cluster.get(path)["items"]]
    texts = [(s["name"], t) for s in spaces for n, t in s.get("annotations", {}).items() if n.startswith(ANNOTATION)]
    try:
        entries = [Entry.model_validate_json(text) for _, text in texts]
    except ValidationError as error:
        raise Inconclusive(f"an annotation {ANNOTATION}... of cluster {cluster.name} can't be read: {error}") from error
    for (place, _), entry in zip(texts, entries, strict=True):
        if not cluster.owned and not all(within_namespaces(act, (place,)) for act in entry.undo):
            raise Inconclusive(f"fault {entry.id} reaches beyond namespace {place}; undo it by hand: {entry.undo}")
    return sorted(entries, key=lambda entry: -entry.since)


def restore(cluster: Cluster, folder: Path, namespace: str) -> list[Entry]:
    """Undo what dead runs left in a cluster, by its folder on disk and by what the cluster itself tells.

    The caller owns the cluster as far as this machine goes. Raises Inconclusive for a fault that another machine's run
    may still need.
    """
    journal = Journal(cluster, folder, namespace)
    undone = [entry for entry in journal.left() if journal.undo(entry)]
    for entry in announced(cluster, namespace):
        if entry.host != socket.gethostname() and time.time() < entry.deadline:
            raise Inconclusive(f"{entry.fault} of {entry.target} is going on from {entry.host}; wait for its end")
        undo_all(cluster, entry)
        undone.append(entry)
    return undone
