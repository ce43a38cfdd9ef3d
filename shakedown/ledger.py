"""The append-only record of a run on one clock: requests, states, faults and marks; and windows over it."""

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def now() -> float:
    """Seconds on the machine's monotonic clock, which all processes of one machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class Event:
    """One line of the ledger: `at` in seconds on the machine's monotonic clock."""

    at: float
    kind: str
    fields: dict[str, Any]


class Ledger:
    """One file that many threads and processes append to; every line is one event.

    Each event is one write() to a file opened with O_APPEND, so lines of several processes don't mix.
    The first line holds `epoch`: what to add to `at` to get seconds since 1970.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        if os.fstat(self._file).st_size == 0:
            self.record("ledger", epoch=time.time() - now())

    def record(self, kind: str, /, *, at: float | None = None, **fields: object) -> Event:
        """Append one event, now unless `at` says when; fields are whatever JSON can write."""
        event = Event(round(now() if at is None else at, 6), kind, dict(fields))
        line = json.dumps({"at": event.at, "kind": kind, **fields}, default=str) + "\n"
        with self._lock:
            os.write(self._file, line.encode())
        return event

    def mark(self, name: str, /, **fields: Any) -> Event:  # noqa: ANN401 - whatever JSON can write
        """Append a moment that later windows begin or end at."""
        return self.record("mark", name=name, **fields)

    def events(self) -> Iterator[Event]:
        """Every event so far, by time; a last line that a killed writer left unfinished is left out."""
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1].splitlines()
        parsed = [json.loads(line) for line in whole]
        for line in sorted(parsed, key=lambda fields: float(fields["at"])):
            yield Event(line.pop("at"), line.pop("kind"), line)

    def window(self, start: Event | float, end: Event | float | None = None, kind: str | None = None) -> list[Event]:
        """The events from `start` to `end` (both included; to the last one where there is no end), by time."""
        first = start.at if isinstance(start, Event) else start
        last = now() if end is None else end.at if isinstance(end, Event) else end
        return [e for e in self.events() if first <= e.at <= last and kind in (None, e.kind)]

    def close(self) -> None:
        """Give the file back; further records raise OSError."""
        with self._lock:
            file, self._file = self._file, -1
        os.close(file)
