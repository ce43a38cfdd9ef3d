"""Generators at the far end of a command each, such as `kubectl exec`: told their orders, heard, and begun together."""

import itertools
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from shakedown.cluster.access import quiet_env
from shakedown.generators import START_S, Crew, Generator
from shakedown.ledger import Ledger, now
from shakedown.orders import ASK, GO, MOMENT, CutShort, framed, whole
from shakedown.window import LATE_S

MASTER = "master"
PROGRAM = ("python3", "-m", "locustfiles.inside")
QUESTIONS = 10  # for the time; the quickest answer counts
# where masters listen, from locust's own default on: loads that go on at once have one each
PORTS = itertools.cycle(range(5557, 5657))
LEAD_S = 0.5  # between saying when to begin and that moment: the word has to arrive before it


@dataclass(frozen=True)
class Clock:
    """A generator's clock: `offset` is what it shows more than the ledger's, known to within `unsure`, in seconds."""

    offset: float
    unsure: float

    def shifted(self, line: bytes) -> bytes:
        """A line of the ledger as that clock tells it, in the ledger's own time."""
        event = orjson.loads(line)
        for name in ("at", "scheduled", "settled"):
            if name in event:
                event[name] -= self.offset
        return orjson.dumps(event) + b"\n"


def clock_of(questions: int, told: "subprocess.Popen[bytes]") -> Clock:
    """What a generator's clock shows, by the quickest of its answers. Raises CutShort where it gives none."""
    assert told.stdin is not None  # noqa: S101 - Popen was asked for pipes
    assert told.stdout is not None  # noqa: S101 - the same
    found = []
    for _ in range(questions):
        asked = now()
        told.stdin.write(ASK)
        (moment,) = MOMENT.unpack(whole(told.stdout.fileno(), MOMENT.size))
        answered = now()
        found.append(Clock(moment - (asked + answered) / 2, (answered - asked) / 2))
    return min(found, key=lambda clock: clock.unsure)


@dataclass
class Together:
    """When all workers of one load begin: named once the last of them is ready."""

    count: int
    moment: float = 0.0
    barrier: threading.Barrier = field(init=False)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.count, self.name)

    def name(self) -> None:
        """Name the moment, on the ledger's clock."""
        self.moment = now() + LEAD_S


@dataclass
class Hearing:
    """Gives one generator its order, and brings what it says to the ledger, until it ends."""

    process: "subprocess.Popen[bytes]"
    order: Mapping[str, Any]
    bodies: bytes
    ledger: Ledger
    together: Together
    errors: Path

    def run(self) -> None:
        """All of it; where that doesn't work the generator is ended, and its last words say why."""
        try:
            clock = self.instruct()
            self.listen(clock)
            self.together.barrier.abort()  # nobody needs to wait for one that has ended
        except threading.BrokenBarrierError:
            return  # another one says why, or the run has ended
        except (OSError, ValueError, CutShort) as error:
            self.process.kill()
            self.process.wait()
            if not self.errors.stat().st_size:  # what it said itself is nearer to the cause
                self.errors.write_text(str(error))
            self.together.barrier.abort()

    def instruct(self) -> Clock:
        """Send the order, ask for the time, and let locust start. Raises ValueError for too vague a clock."""
        self.send(framed(json.dumps(dict(self.order)).encode()) + framed(self.bodies))
        clock = clock_of(QUESTIONS, self.process)
        worker = {"flow": self.order["flow"], "worker": self.order["worker"]}
        self.ledger.record("clock", **worker, offset=clock.offset, unsure=clock.unsure)
        if clock.unsure > LATE_S:
            raise ValueError(f"its clock is known to within {clock.unsure:.2f} s only, {LATE_S:g} s are needed")
        self.send(GO)
        return clock

    def listen(self, clock: Clock) -> None:
        """Write what it says to the ledger; tell it when to begin once all are ready."""
        assert self.process.stdout is not None  # noqa: S101 - Popen was asked for a pipe
        lines = self.process.stdout.fileno()
        with self.ledger.path.open("ab", buffering=0) as out, os.fdopen(lines, "rb", closefd=False) as said:
            for line in said:
                out.write(clock.shifted(line))
                if b'"step":"ready"' in line:
                    self.together.barrier.wait(START_S)
                    self.send(MOMENT.pack(self.together.moment + clock.offset))

    def send(self, content: bytes) -> None:
        """Write all of it to the generator's standard input."""
        assert self.process.stdin is not None  # noqa: S101 - Popen was asked for a pipe
        rest = memoryview(content)
        while rest:
            rest = rest[self.process.stdin.write(rest) :]


@contextmanager
def attended(
    command: tuple[str, ...], name: str, parts: tuple[Mapping[str, Any], bytes], ledger: Ledger, together: Together
) -> Iterator[Generator]:
    """A generator at the other end of a command's standard input and output, which stay open while it may live.

    Whatever end this process finds, the kernel closes its standard input, which tells the generator to stop.
    """
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        errors = Path(folder) / "errors"
        with errors.open("wb") as file:
            process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=quiet_env(),
                start_new_session=True,  # Ctrl-C is for the run, which ends its load in order
            )
        assert process.stdin is not None  # noqa: S101 - Popen was asked for a pipe
        hearing = Hearing(process, *parts, ledger, together, errors)
        thread = threading.Thread(target=hearing.run, name=name, daemon=True)
        thread.start()
        generator = Generator(name, process, errors, process.stdin.close, thread)
        try:
            yield generator
        finally:
            together.barrier.abort()
            generator.kill()
            generator.heard_out()
            process.stdin.close()


@contextmanager
def crew_of(
    commands: Mapping[str, tuple[str, ...]], master: str, order: Mapping[str, Any], bodies: bytes, ledger: Ledger
) -> Iterator[Crew]:
    """The master and the workers that these commands lead to, by their names; `master` is its address for them."""
    names, port = [name for name in commands if name != MASTER], next(PORTS)
    together = Together(len(names))
    with ExitStack() as life:

        def enter(name: str, **part: object) -> Generator:
            whole_order = {**order, "workers": len(names), "together": True, "port": port, **part}
            return life.enter_context(attended(commands[name], f"load {name}", (whole_order, bodies), ledger, together))

        keeper = enter(MASTER, worker=-1, master="")
        yield Crew([enter(name, worker=number, master=master) for number, name in enumerate(names)], [keeper])
