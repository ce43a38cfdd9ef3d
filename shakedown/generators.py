"""The processes that send one load: how they are started, how they end, and what they said last."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from shakedown.ledger import Ledger

ROOT = Path(__file__).resolve().parents[1]
LOCUSTFILE = ROOT / "locustfiles" / "predict.py"
OPTIONS = ("--loglevel=ERROR", "--only-summary", "--stop-timeout=0")
ALONE = ("--headless", "--users=1")
START_S = 60.0  # locust's imports take 3 s of CPU, on a machine where servers may be starting
GRACE_S = 10.0  # for its own end, after the last answer or the end of the patience for it
TOLD_BY_KUBECTL = "command terminated with exit code"  # after which there is nothing more to know


@dataclass(frozen=True)
class Generator:
    """One process: `stop` asks for its orderly end, `hearing` brings its lines to the ledger where it can't itself."""

    name: str
    process: "subprocess.Popen[bytes]"
    errors: Path
    stop: Callable[[], None]
    hearing: threading.Thread | None = None

    def code(self) -> int | None:
        """How it ended, once it has and all that it said is in the ledger."""
        return None if self.hearing and self.hearing.is_alive() else self.process.poll()

    def words(self) -> str:
        """What it said last."""
        lines = [line.strip() for line in self.errors.read_text(errors="replace").splitlines() if line.strip()]
        return ([line for line in lines if not line.startswith(TOLD_BY_KUBECTL)] or lines or ["no word"])[-1]

    def kill(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def heard_out(self) -> None:
        """Wait until all that it said is in the ledger, once it has ended."""
        if self.hearing:
            self.hearing.join()


@dataclass(frozen=True)
class Crew:
    """All processes of one load: the `senders`, and those that the senders need until their end."""

    senders: Sequence[Generator]
    keepers: Sequence[Generator] = ()

    def death(self) -> str:
        """Which of them has ended, with its code and its last words; empty while all live."""
        for each in (*self.senders, *self.keepers):
            if (code := each.code()) is not None:
                return f"ended with code {code}: {each.name}: {each.words()}"
        return ""

    def end(self, within: float) -> None:
        """Wait for their orderly end; kill whoever doesn't come to it."""
        for group in (self.senders, self.keepers):
            for each in group:
                each.stop()
            for each in group:
                with suppress(subprocess.TimeoutExpired):
                    each.process.wait(timeout=within)
            ended(group)

    def kill(self) -> None:
        """End all of them at once."""
        ended((*self.senders, *self.keepers))


def ended(generators: Sequence[Generator]) -> None:
    """End all of them before any is heard out: one may be waiting for another."""
    for each in generators:
        each.kill()
    for each in generators:
        each.heard_out()


class Way(Protocol):
    """How a load's generators are run."""

    @property
    def workers(self) -> int:
        """How many of them send."""

    def address(self, address: str) -> str:
        """A front door's address, host:port as this machine sees it, for them. Raises UnusableEnvironment."""

    def running(self, order: Mapping[str, Any], bodies: bytes, ledger: Ledger) -> AbstractContextManager[Crew]:
        """The generators of one order, started; the block ends them in order."""


@dataclass(frozen=True)
class Here:
    """One generator on this machine."""

    workers: int = 1

    def address(self, address: str) -> str:
        """As it is."""
        return address

    @contextmanager
    def running(self, order: Mapping[str, Any], bodies: bytes, ledger: Ledger) -> Iterator[Crew]:
        """Locust in a process of its own, which writes to the ledger itself; it begins as soon as it can."""
        with tempfile.TemporaryDirectory(prefix="load-") as name, life() as (reading, stop):
            folder = Path(name)
            told = {
                "workers": 1,
                "worker": 0,
                "together": False,
                "alive": reading,
                "ledger": str(ledger.path.resolve()),
            }
            (folder / "order.json").write_text(json.dumps({**order, **told}))
            (folder / "bodies.npz").write_bytes(bodies)
            with (folder / "errors").open("wb") as errors:
                process = locust(folder, (*ALONE, order["user"]), (reading,), errors)
            yield Crew([Generator("the load generator", process, folder / "errors", stop)])


@contextmanager
def life() -> Iterator[tuple[int, Callable[[], None]]]:
    """A pipe: its reading end, and what closes the writing end.

    Whatever end this process finds, the kernel closes the writing end, which tells the generator to stop.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb") as held:
        yield reading, held.close


def locust(
    folder: Path,
    arguments: Sequence[str],
    inherited: Sequence[int],
    errors: IO[bytes] | None = None,
    within: Sequence[str] = (),
) -> "subprocess.Popen[bytes]":
    """Start locust on the order in a folder, by way of another program where `within` names one.

    It inherits these descriptors, and nothing else of this process.
    """
    return subprocess.Popen(
        [*within, sys.executable, "-m", "locust", f"--locustfile={LOCUSTFILE}", *OPTIONS, *arguments],
        cwd=folder,
        env={**os.environ, "LOAD_ORDER": str(folder), "PYTHONPATH": str(ROOT)},
        pass_fds=inherited,
        start_new_session=True,  # Ctrl-C is for the run, which ends its load in order
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )
