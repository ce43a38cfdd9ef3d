"""What the generator is told to send, and its reader on the side of locust."""

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shakedown.backends import WIRES
from shakedown.oracle import Oracle
from shakedown.shapes import Shape


class Order:
    """One load: its shape, its target, its bodies and their right answers, as `shakedown.load` wrote them down."""

    def __init__(self, folder: Path) -> None:
        fields: dict[str, Any] = json.loads((folder / "order.json").read_text())
        self.flow: str = fields["flow"]
        self.shape = Shape(fields["shape"], tuple((moment, rate) for moment, rate in fields["points"]))
        self.protocol: str = fields["protocol"]
        self.address: str = fields["address"]
        self.host: str = fields["host"]
        self.model: str = fields["model"]
        self.wire = WIRES[fields["wire"]]
        self.headers: dict[str, str] = fields["headers"]
        self.patience: float = fields["patience"]
        self.ledger: str | int = fields["ledger"]  # a path, or what is open already
        self.alive: int = fields["alive"]
        self.workers: int = fields["workers"]
        self.worker: int = fields["worker"]  # which of them this is, from 0
        self.together: bool = fields["together"]  # all of them begin when they are told
        self.batch: int = fields["batch"]
        arrays = np.load(folder / "bodies.npz")
        answers = {int(name): arrays[name] for name in arrays.files if name.isdigit()}
        self.oracle = Oracle(arrays["images"], answers, fields["tolerance"])
        self.bodies = split(arrays["bodies"], arrays["ends"])

    def share(self) -> Iterator[tuple[int, float]]:
        """The requests that are this generator's to send, by number, and when each is due: one in so many as there are.

        All of them together are the shape, each request once.
        """
        return islice(enumerate(self.shape.arrivals().tolist()), self.worker, None, self.workers)

    def open_ledger(self) -> int:
        """A descriptor to which lines are appended."""
        return self.ledger if isinstance(self.ledger, int) else os.open(self.ledger, os.O_WRONLY | os.O_APPEND)

    def row(self, number: int) -> int:
        """The first image of a request's body."""
        return number % len(self.bodies) * self.batch


def split(joined: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    """The bodies, one after another."""
    starts = [0, *ends[:-1].tolist()]
    return [joined[start:end].tobytes() for start, end in zip(starts, ends.tolist(), strict=True)]
