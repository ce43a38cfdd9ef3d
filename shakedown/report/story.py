"""The ledger of a run, read once for the report: requests as columns, everything else as events by kind."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from shakedown.ledger import Event

ANSWERED = {200, "200", "OK"}  # HTTP's code, and gRPC's by name


@dataclass(frozen=True)
class Requests:
    """Requests by the time they were sent: seconds on the ledger's clock, and seconds taken; one entry a request.

    `failed` came back with no answer or an error, `wrong` with an answer that isn't right; `version` is whose answer
    it was, 0 where it was nobody's.
    """

    at: NDArray[np.float64]
    seconds: NDArray[np.float64]
    failed: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    version: NDArray[np.int64]


@dataclass(frozen=True)
class Story:
    """What a ledger tells: `epoch` is what to add to its times to get seconds since 1970."""

    epoch: float
    start: float
    end: float
    requests: Requests
    events: Mapping[str, Sequence[Event]]

    def of(self, kind: str) -> Sequence[Event]:
        """The events of one kind, by time; none where the run recorded none."""
        return self.events.get(kind, ())


def read(ledger: Path) -> Story:
    """The story of a ledger; a last line that a killed writer left unfinished is left out."""
    raw = ledger.read_bytes()
    lines = [orjson.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]
    lines.sort(key=lambda line: float(line["at"]))
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        by_kind[line["kind"]].append(line)
    opened = by_kind.pop("ledger", [])
    start, end = span(lines)
    return Story(
        epoch=float(opened[0]["epoch"]) if opened else 0.0,
        start=start,
        end=end,
        requests=columns(by_kind.pop("request", [])),
        events={kind: [event_of(line) for line in found] for kind, found in by_kind.items()},
    )


def span(lines: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The first and the last moment of a ledger's lines; an event that took seconds ends that much later."""
    if not lines:
        return 0.0, 0.0
    lasting = ("request", "promise")
    ends = (line["at"] + (line["seconds"] if line["kind"] in lasting else 0.0) for line in lines)
    return float(lines[0]["at"]), float(max(ends))


def event_of(line: Mapping[str, Any]) -> Event:
    """A line as the ledger's event."""
    return Event(line["at"], line["kind"], {key: value for key, value in line.items() if key not in {"at", "kind"}})


def columns(lines: Sequence[Mapping[str, Any]]) -> Requests:
    """Requests as columns; a line that doesn't say whether its answer was right is judged by its version."""
    failed = np.array([line["code"] not in ANSWERED for line in lines], dtype=np.bool_)
    right = np.array([line.get("right", bool(line.get("version"))) for line in lines], dtype=np.bool_)
    return Requests(
        at=np.array([line["at"] for line in lines], dtype=np.float64),
        seconds=np.array([line["seconds"] for line in lines], dtype=np.float64),
        failed=failed,
        wrong=~failed & ~right,
        version=np.array([line.get("version") or 0 for line in lines], dtype=np.int64),
    )
