"""The open model: a request is sent when it is due, whatever became of those before; each goes into the ledger."""

import contextlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import gevent.event
import gevent.pool
import gevent.socket
import orjson

from locustfiles.order import Order
from shakedown.ledger import now
from shakedown.orders import MOMENT, CutShort, whole

MOST_UNDER_WAY = 512  # connections that one generator's clients have; what is due beyond that counts as not answered
PRIORITY = -10  # what measures must not wait for a core behind what is measured
AUTOGROUP = Path("/proc/self/autogroup")  # a session's own scheduling group, inside which alone nice counts
FLUSH_S = 0.2  # who judges a window waits that much longer for its last requests


@dataclass(frozen=True)
class Answer:
    """What one request came to: HTTP's code (200 for gRPC's OK, 0 for no answer), whose answer, right or not, words."""

    code: int
    version: int
    right: bool
    said: str = ""


Send = Callable[[int], Answer]


@dataclass
class Record:
    """Lines for the ledger, collected and appended with one write, so that a line costs some microseconds."""

    file: int
    lines: list[bytes] = field(default_factory=list)

    def add(self, kind: str, at: float, **fields: object) -> None:
        """Collect one event."""
        self.lines.append(orjson.dumps({"at": at, "kind": kind, **fields}))

    def flush(self) -> None:
        """Append what was collected; the file was opened with O_APPEND, so that it stays together.

        Where it is a pipe, that waits for its reader.
        """
        if self.lines:
            taken, self.lines = self.lines, []
            os.write(self.file, b"\n".join(taken) + b"\n")


class OpenModel:
    """One load while it goes on."""

    def __init__(self, order: Order) -> None:
        self.order, self.stopped = order, gevent.event.Event()
        self.record = Record(order.open_ledger())
        self.under_way: dict[int, float] = {}
        self.upcoming = 0.0  # when the next request is due

    def run(self, send: Send) -> None:
        """Send the whole shape, or until told to stop; then wait for what is still under way."""
        with contextlib.suppress(OSError):  # not everybody may; lateness is measured, whoever runs it
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
            AUTOGROUP.write_text(str(PRIORITY))
        start = self.upcoming = self.begin()
        helpers = [gevent.spawn(self.obey), gevent.spawn(self.beat)]
        pool, sent = gevent.pool.Pool(), 0
        self.step("started", start)
        for number, due in self.order.share():
            self.upcoming = start + due
            if self.stopped.wait(max(0.0, start + due - now())):
                break
            sent += 1
            if len(self.under_way) >= MOST_UNDER_WAY:
                self.note(start + due, now(), 0.0, Answer(0, 0, right=False, said=FULL))
            else:
                self.under_way[number] = start + due
                pool.spawn(self.one, number, start + due, send)
        self.upcoming = math.inf
        self.stopped.wait(max(0.0, start + self.order.shape.seconds - now()))  # its last gap is part of it
        pool.join(timeout=self.order.patience + 1)
        for scheduled in self.under_way.values():
            self.note(scheduled, scheduled, now() - scheduled, Answer(0, 0, right=False, said="no answer at the end"))
        gevent.killall(helpers)
        self.step("ended", now(), sent=sent)
        if self.order.together:
            gevent.socket.wait_read(self.order.alive)  # who ended early would be missed by locust's master

    def begin(self) -> float:
        """When the shape begins: at once, or at the moment that all workers of a load are told once each is ready."""
        if not self.order.together:
            return now()
        self.step("ready", now())
        gevent.socket.wait_read(self.order.alive)
        try:
            (start,) = MOMENT.unpack(whole(self.order.alive, MOMENT.size))
        except CutShort:  # the run has ended, or there is no second time: locust starts again whoever it takes for new
            self.stopped.set()
            return now()
        self.stopped.wait(max(0.0, start - now()))
        return float(start)

    def step(self, name: str, at: float, **fields: object) -> None:
        """Write down how far this generator is with its load."""
        self.record.add("load", at, flow=self.order.flow, step=name, worker=self.order.worker, **fields)
        self.record.flush()

    def one(self, number: int, scheduled: float, send: Send) -> None:
        """Send one request, once, and note what came back."""
        sent = now()
        try:
            answer = send(number)
        except Exception as error:  # noqa: BLE001 - whatever a client raises, the request failed, and says so
            answer = Answer(0, 0, right=False, said=f"{type(error).__name__}: {str(error)[:200]}")
        self.note(scheduled, sent, now() - sent, answer)
        self.under_way.pop(number, None)

    def note(self, scheduled: float, sent: float, seconds: float, answer: Answer) -> None:
        """Put one request down."""
        self.record.add(
            "request",
            sent,
            flow=self.order.flow,
            protocol=self.order.protocol,
            scheduled=scheduled,
            seconds=seconds,
            code=answer.code,
            version=answer.version,
            right=answer.right,
            said=answer.said,
        )

    def obey(self) -> None:
        """Stop once the other end of the pipe is closed, by a parent that is done or by one that was killed."""
        gevent.socket.wait_read(self.order.alive)
        self.stopped.set()

    def beat(self) -> None:
        """Write to the ledger, and tell each time of oneself: CPU, and until when everything is settled."""
        last, used = now(), time.process_time()
        while True:
            gevent.sleep(FLUSH_S)
            moment, spent = now(), time.process_time()
            cpu = (spent - used) / (moment - last)
            known = {"worker": self.order.worker, "cpu": cpu, "settled": self.settled(moment)}
            self.record.add("generator", moment, flow=self.order.flow, **known)
            last, used = moment, spent
            self.record.flush()

    def settled(self, moment: float) -> float:
        """Before when every request that was due is in the ledger."""
        return min(moment, self.upcoming, *self.under_way.values())


FULL = f"not sent: {MOST_UNDER_WAY} requests are under way"
