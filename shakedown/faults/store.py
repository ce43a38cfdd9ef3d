"""The model store: files that are spoiled, versions that are bad, a store that a node loses or that is full."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from shakedown.cluster import Cluster
from shakedown.cluster.host import on_node
from shakedown.faults.guard import Radius
from shakedown.faults.undo import AnyAct, MoveBack, Remove, Unmount, in_store
from shakedown.wait import NotYet

# tries to write so many bytes, says what came of it, and takes them out again
OVERFILL = r"""
file=$1/.overfill
head -c "$2" /dev/zero 2>&1 > "$file" || true
rm -f "$file"
"""


def aside_of(path: str) -> str:
    """A folder for what is on its way into or out of a place: beside the models' folders, where no server looks."""
    return f".aside-{path.replace('/', '-')}"


@dataclass(frozen=True)
class FileCutShort:
    """A file of a model that is served loses its second half. Who has loaded it lives on; who starts anew can't."""

    cluster: Cluster
    namespace: str
    path: str

    name: str = "model-file-cut-short"

    @property
    def target(self) -> str:
        """The file, below the store."""
        return self.path

    @property
    def radius(self) -> Radius:
        """No pod that is up."""
        return Radius(frozenset({self.namespace}))

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The good file comes back by one rename."""
        return (MoveBack(aside=self.aside, place=self.path), Remove(path=aside_of(self.path)))

    @property
    def aside(self) -> str:
        """Where the good file waits."""
        return f"{aside_of(self.path)}/good"

    def inject(self) -> None:
        """Keep the good file whole before the bad one takes its place."""
        place, aside = in_store(self.cluster, self.path), in_store(self.cluster, self.aside)
        aside.parent.mkdir()
        copy, bad = aside.with_name("copy"), aside.with_name("bad")
        shutil.copy2(place, copy)
        copy.replace(aside)
        whole = aside.read_bytes()
        bad.write_bytes(whole[: len(whole) // 2])
        bad.chmod(0o644)
        bad.replace(place)

    def prove(self) -> str:
        """It is shorter than what was set aside."""
        size, whole = (in_store(self.cluster, path).stat().st_size for path in (self.path, self.aside))
        if size >= whole:
            raise NotYet(f"{self.path} has {size} bytes, as before")
        return f"{self.path} has {size} of {whole} bytes"


@dataclass(frozen=True)
class VersionPushed:
    """A version comes into the store under a new number, whole, as an import brings it."""

    cluster: Cluster
    namespace: str
    source: Path
    model: str
    version: int

    name: str = "version-pushed"

    @property
    def target(self) -> str:
        """The version's folder, below the store."""
        return f"{self.model}/{self.version}"

    @property
    def radius(self) -> Radius:
        """Every server tries to load it."""
        return Radius(frozenset({self.namespace}))

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """It goes again."""
        return (Remove(path=self.target), Remove(path=aside_of(self.target)))

    def inject(self) -> None:
        """Copy it beside, then rename it into place."""
        beside = in_store(self.cluster, f"{aside_of(self.target)}/{self.version}")
        shutil.copytree(self.source, beside)
        for path in [beside, *beside.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        beside.rename(in_store(self.cluster, self.target))

    def prove(self) -> str:
        """It is there."""
        files = [path for path in in_store(self.cluster, self.target).rglob("*") if path.is_file()]
        if not files:
            raise NotYet(f"{self.target} holds no file")
        return f"{self.target} holds {len(files)} files"


@dataclass(frozen=True)
class StoreLost:
    """A node has an empty volume of one MiB of memory in the store's place; the host's disk is not touched.

    Servers that run keep the store that they have mounted; who starts on that node finds nothing.
    """

    cluster: Cluster
    namespace: str
    node: str

    name: str = "store-lost"
    path: str = "/models"
    source: str = "shakedown-empty"
    size: str = field(default="1m", repr=False)

    @property
    def target(self) -> str:
        """The node."""
        return self.node

    @property
    def radius(self) -> Radius:
        """No pod that is up."""
        return Radius(frozenset({self.namespace}), nodes=frozenset({self.node}))

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The volume goes, and the store is seen again."""
        return (Unmount(node=self.node, path=self.path, source=self.source),)

    def inject(self) -> None:
        """Mount it over the store."""
        options = ("-t", "tmpfs", "-o", f"size={self.size}", self.source, self.path)
        on_node(self.cluster, self.node, "mount", *options)

    def prove(self) -> str:
        """The node sees an empty folder."""
        if listed := on_node(self.cluster, self.node, "ls", "-A", self.path).split():
            raise NotYet(f"{self.node} sees {listed} in {self.path}")
        return f"{self.node} sees nothing in {self.path}"


@dataclass(frozen=True)
class StoreFull:
    """A node has a volume of memory in the store's place that has room for a part of a model only.

    It is of the fault's own and small, so that the host's disk never fills up; it belongs to whom the store belongs.
    Servers that run keep the store that they have mounted.
    """

    cluster: Cluster
    namespace: str
    node: str

    name: str = "store-full"
    path: str = "/models"
    source: str = "shakedown-full"
    room: int = 128 << 10

    @property
    def target(self) -> str:
        """The node."""
        return self.node

    @property
    def radius(self) -> Radius:
        """No pod that is up."""
        return Radius(frozenset({self.namespace}), nodes=frozenset({self.node}))

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The volume goes, and the store is seen again."""
        return (Unmount(node=self.node, path=self.path, source=self.source),)

    def inject(self) -> None:
        """Mount it over the store."""
        owner, group, mode = on_node(self.cluster, self.node, "stat", "-c", "%u %g %a", self.path).split()
        options = f"size={self.room},uid={owner},gid={group},mode={mode}"
        on_node(self.cluster, self.node, "mount", "-t", "tmpfs", "-o", options, self.source, self.path)

    def prove(self) -> str:
        """What is larger than its room doesn't go in."""
        said = on_node(self.cluster, self.node, "sh", "-c", OVERFILL, "sh", self.path, str(2 * self.room))
        if "No space left" not in said:
            raise NotYet(
                f"{self.node} writes {2 * self.room} bytes to {self.path}: {said.strip() or 'without an error'}"
            )
        return f"{self.node} has no room for {2 * self.room} bytes in {self.path}"
