"""What runs of this project left on this machine: one folder per kind cluster, and who owns it."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from shakedown.settings import Clock


@dataclass(frozen=True)
class Record:
    """What is known of one cluster: `whole` once it was created to the end, `recipe` what it was created from."""

    name: str
    clock: Clock
    recipe: str
    keep: bool
    gateway_port: int
    whole: bool = False
    baseline: dict[str, str] = field(default_factory=dict)


class Home:
    """The folder of one cluster; whoever holds its lock owns the cluster, and a dead run holds none."""

    def __init__(self, root: Path, name: str) -> None:
        self.name, self.folder = name, root / name
        self._lock = FileLock(root / f".{name}.lock")

    @property
    def kubeconfig(self) -> Path:
        """The cluster's own kubeconfig; nobody else's file is ever written."""
        return self.folder / "kubeconfig"

    @property
    def store(self) -> Path:
        """The model store: seen by every node at /models."""
        return self.folder / "models"

    @property
    def volumes(self) -> Path:
        """Where claims keep their files: seen by every node at /volumes."""
        return self.folder / "volumes"

    def claim(self) -> bool:
        """Become the owner; False where a living run is."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Stop being the owner."""
        self._lock.release()

    def read(self) -> Record | None:
        """The record, or None where there is none that can be read."""
        try:
            fields = json.loads((self.folder / "record.json").read_text())
            return Record(**{**fields, "clock": Clock(fields["clock"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def write(self, record: Record) -> None:
        """Put the record down whole: beside, then renamed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / "record.json.part"
        beside.write_text(json.dumps(asdict(record)))
        beside.rename(self.folder / "record.json")

    def complete(self, baseline: dict[str, str]) -> None:
        """Note that the cluster was created to the end, and what it holds when clean."""
        record = self.read()
        if record is None:
            raise FileNotFoundError(self.folder / "record.json")
        self.write(replace(record, whole=True, baseline=baseline))

    def remove(self) -> None:
        """Forget the cluster, with its kubeconfig and model store."""
        shutil.rmtree(self.folder, ignore_errors=True)


def homes(root: Path) -> Iterator[Home]:
    """The homes of all clusters that runs left on this machine."""
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if folder.is_dir():
            yield Home(root, folder.name)


def fresh_name() -> str:
    """A name that no other run has."""
    return f"shakedown-{os.getpid()}-{os.urandom(2).hex()}"
