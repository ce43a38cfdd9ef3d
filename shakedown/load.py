"""Load through the front door: locust in processes of its own, watched, bounded, and read from the ledger."""

import io
import itertools
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shakedown.generators import GRACE_S, START_S, Crew, Here, Way
from shakedown.grpc_client import prediction_request
from shakedown.ledger import Ledger, now
from shakedown.oracle import Oracle
from shakedown.progress import say
from shakedown.serving import REQUEST_S, Endpoint
from shakedown.shapes import LONGEST_S, Shape
from shakedown.verdict import Inconclusive, UnusableEnvironment
from shakedown.wait import NotYet, TimedOut, eventually
from shakedown.window import Request, Window

READ_S = 0.2
SHOW_S = 10.0
END_S = REQUEST_S + GRACE_S  # the last request's patience, and the generator's own end

Protocol = Literal["rest", "grpc"]
USERS = {"rest": "RestUser", "grpc": "GrpcUser"}


@dataclass(frozen=True)
class Flow:
    """One load as it was ordered: `batch` images a request, `headers` with each."""

    name: str
    shape: Shape
    protocol: Protocol
    batch: int
    headers: Mapping[str, str]


@dataclass
class Seen:
    """What of one load has been read from the ledger so far, of so many generators; moments on its clock."""

    workers: int = 1
    requests: list[Request] = field(default_factory=list)
    beats: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))  # (moment, CPU)
    ready: set[int] = field(default_factory=set)
    starts: dict[int, float] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    settlings: dict[int, float] = field(default_factory=dict)

    @property
    def started(self) -> float | None:
        """When the first generator began; None until all have."""
        return min(self.starts.values()) if len(self.starts) == self.workers else None

    @property
    def ended(self) -> float | None:
        """When the last generator ended; None until all have."""
        return max(self.ends.values()) if len(self.ends) == self.workers else None

    @property
    def settled(self) -> float:
        """Every request that was due before, from any generator, is in `requests`."""
        going = [self.settlings.get(worker, 0.0) for worker in range(self.workers) if worker not in self.ends]
        return min(going) if going else max(self.ends.values())

    def take(self, event: dict[str, Any]) -> None:
        """Take up one event of this load."""
        if event["kind"] == "request":
            names = ("scheduled", "seconds", "code", "version", "right", "said")
            self.requests.append(Request(sent=event["at"], **{name: event[name] for name in names}))
        elif event["kind"] == "generator":
            self.beats[event["worker"]].append((event["at"], event["cpu"]))
            self.settlings[event["worker"]] = event["settled"]
        elif event["kind"] == "load" and event["step"] == "ready":
            self.ready.add(event["worker"])
        elif event["kind"] == "load" and event["step"] == "started":
            self.starts[event["worker"]] = event["at"]
        elif event["kind"] == "load" and event["step"] == "ended":
            self.ends[event["worker"]] = event["at"]

    def slowest(self) -> str:
        """The generator of which least has been heard, and how far it is."""
        going = [each for each in range(self.workers) if each not in self.ends]
        if not going:
            return "all generators, at their end"
        worker = min(going, key=lambda each: (each in self.starts, each in self.ready, self.settlings.get(each, 0.0)))
        if worker in self.settlings:
            return f"generator {worker}, whose requests are all told until {now() - self.settlings[worker]:.1f} s ago"
        return f"generator {worker}, {'not sending' if worker in self.ready else 'not ready'} yet"

    def cpu(self, start: float, end: float) -> float:
        """The share of a core that the busiest generator used: it is the one that holds up a load."""
        shares = [[cpu for moment, cpu in list(told) if start <= moment <= end] for told in list(self.beats.values())]
        return max((float(np.mean(each)) for each in shares if each), default=0.0)


class Traffic:
    """One load while it goes on, and afterwards."""

    def __init__(self, flow: str, ledger: Path, crew: Crew) -> None:
        self.flow, self.crew = flow, crew
        self.seen, self._lock = Seen(len(crew.senders)), threading.Lock()
        self._file, self._rest = ledger.open("rb"), b""
        self._file.seek(0, os.SEEK_END)

    @property
    def began(self) -> float:
        """When the first request could have been due, on the ledger's clock."""
        assert self.seen.started is not None  # noqa: S101 - nobody is given traffic that hasn't started
        return self.seen.started

    def read(self) -> Seen:
        """Read what has come to the ledger since the last time."""
        with self._lock:
            lines = (self._rest + self._file.read()).split(b"\n")
            self._rest = lines.pop()
            mark = json.dumps(self.flow, ensure_ascii=False).encode()  # as the generator writes it
            for line in lines:
                if mark in line and (event := json.loads(line)).get("flow") == self.flow:
                    self.seen.take(event)
        return self.seen

    def collect(self, seconds: float) -> Window:
        """Wait for so many seconds of load, and for all of its answers. Raises Inconclusive where it ends before."""
        start = now()
        return self.window(start, start + seconds)

    def finish(self) -> Window:
        """Wait until the whole shape has been sent and answered."""

        def done() -> None:
            seen = self.read()
            if seen.ended is None:
                self.require_life()
                raise NotYet(self.told())

        self.await_generators(done, LONGEST_S + END_S, "ends")
        return self.window(self.began, self.seen.ended)

    def window(self, start: float, end: float | None = None) -> Window:
        """The requests that were due from `start` to `end` (until now, without one), waited for.

        Moments are on the ledger's clock. Raises Inconclusive where the load ended before `end`, or died.
        """
        last = now() if end is None else end

        def settled() -> None:
            seen = self.read()
            if seen.settled >= last:
                return
            if seen.ended is not None and seen.ended < last and end is not None:
                raise Inconclusive(f"load {self.flow} had ended {last - seen.ended:.1f} s before that")
            if seen.ended is None:
                self.require_life()
                raise NotYet(self.told())

        self.await_generators(settled, max(0.0, last - now()) + END_S, "goes on")
        return self.slice(start, last)

    def await_generators(self, check: Callable[[], None], within: float, what: str) -> None:
        """Wait for the generators. Raises Inconclusive where they say nothing for too long: no server is to blame."""
        try:
            eventually(check, within=within, awaited=f"load {self.flow} {what}")
        except TimedOut as silent:
            raise Inconclusive(f"{silent}; last heard of: {self.seen.slowest()}") from silent

    def slice(self, start: float, end: float) -> Window:
        """What has been read so far of the requests that were due from `start` to `end`."""
        chosen = [each for each in list(self.seen.requests) if start <= each.scheduled <= end]
        cpu = self.seen.cpu(start, end + 1)
        return Window(self.flow, start, end, tuple(sorted(chosen, key=lambda each: each.scheduled)), cpu)

    def told(self) -> str:
        """The last five seconds in words."""
        last = self.seen.settled
        return str(self.slice(max(self.began, last - 5), last)) if last > self.began else "its first second"

    def require_life(self) -> None:
        """Raise Inconclusive with its last words where a generator has ended before all had said that they did."""
        death = self.crew.death()
        if death and self.read().ended is None:
            raise Inconclusive(f"load {self.flow} {death}")

    def watch(self, stop: threading.Event, longest: float) -> None:
        """Read on, show live figures, and end a generator that doesn't end by itself."""
        deadline = time.monotonic() + longest
        shown = time.monotonic()
        while not stop.wait(READ_S):
            self.read()
            if self.seen.ended is None and time.monotonic() - shown >= SHOW_S and self.seen.started:
                shown = time.monotonic()
                say(f"load {self.flow}: {self.told()}")
            if time.monotonic() > deadline:
                self.crew.kill()


@dataclass(frozen=True)
class Load:
    """Sends load to one endpoint on 127.0.0.1, whose answers the oracle knows.

    `protocol` "rest" or "grpc"; `way` says from where, which makes no other difference. Raises UnusableEnvironment
    for an endpoint that is not on 127.0.0.1.
    """

    endpoint: Endpoint
    model: str
    oracle: Oracle
    ledger: Ledger
    way: Way = field(default_factory=Here)
    count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        for address in (self.endpoint.rest.removeprefix("http://"), self.endpoint.grpc):
            if address.rpartition(":")[0] != "127.0.0.1":
                raise UnusableEnvironment(f"load goes to 127.0.0.1 only, where a front door leads in; not to {address}")

    @contextmanager
    def running(
        self, shape: Shape, protocol: Protocol = "rest", *, batch: int = 1, headers: Mapping[str, str] | None = None
    ) -> Iterator[Traffic]:
        """Send a shape while the block runs; it ends with the block, or by itself where the shape is shorter.

        `batch` images a request, `headers` with each (gRPC: metadata).
        """
        flow = Flow(f"{shape.name} {protocol} #{next(self.count)}", shape, protocol, batch, headers or {})
        with (
            self.way.running(self.order(flow), self.bodies(flow), self.ledger) as crew,
            watched(Traffic(flow.name, self.ledger.path, crew), shape) as traffic,
        ):
            try:
                yield traffic
            finally:
                crew.end(END_S)
                if traffic.read().ended is None:
                    say(f"load {flow.name} never said that it ended; last heard of: {traffic.seen.slowest()}")

    def order(self, flow: Flow) -> dict[str, Any]:
        """What each generator is told, but for its own part of it."""
        address = self.endpoint.grpc if flow.protocol == "grpc" else self.endpoint.rest.removeprefix("http://")
        return {
            "flow": flow.name,
            "user": USERS[flow.protocol],
            "shape": flow.shape.name,
            "points": flow.shape.points,
            "protocol": flow.protocol,
            "batch": flow.batch,
            "headers": dict(flow.headers),
            "address": self.way.address(address),
            "host": self.endpoint.host,
            "model": self.model,
            "wire": self.endpoint.wire.name,
            "patience": REQUEST_S,
            "tolerance": self.oracle.tolerance,
        }

    def bodies(self, flow: Flow) -> bytes:
        """The bodies with their right answers, as numpy's npz."""
        rows = range(0, len(self.oracle.images) // flow.batch * flow.batch, flow.batch)
        bodies = [self.body(flow.protocol, row, flow.batch) for row in rows]
        answers: dict[str, Any] = {str(version): known for version, known in self.oracle.answers.items()}
        joined = np.frombuffer(b"".join(bodies), dtype=np.uint8)
        ends = np.cumsum([len(body) for body in bodies])
        packed = io.BytesIO()
        np.savez(packed, images=self.oracle.images, bodies=joined, ends=ends, **answers)
        return packed.getvalue()

    def body(self, protocol: Protocol, row: int, batch: int) -> bytes:
        """One request's body: real digits, and as many as a batch holds."""
        images = self.oracle.images[row : row + batch]
        if protocol == "grpc":
            done: bytes = prediction_request(self.model, images).SerializeToString()
            return done
        return json.dumps(self.endpoint.wire.question(images)).encode()


@contextmanager
def watched(traffic: Traffic, shape: Shape) -> Iterator[Traffic]:
    """Wait for the first requests, and read on in the background until the block ends."""

    def sending() -> None:
        if traffic.read().started is None:
            traffic.require_life()
            raise NotYet(f"locust starts; {traffic.seen.slowest()}")

    stop = threading.Event()
    longest = START_S + shape.seconds + END_S
    watchdog = threading.Thread(target=traffic.watch, args=(stop, longest), name="load", daemon=True)
    watchdog.start()
    try:
        try:
            eventually(sending, within=START_S, awaited=f"load {traffic.flow} starts")
        except TimedOut as late:
            raise Inconclusive(f"nothing was sent: {late}") from late
        yield traffic
    finally:
        stop.set()
        watchdog.join()
        traffic.crew.kill()
