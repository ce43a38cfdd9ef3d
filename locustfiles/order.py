"""What the generator is told to send, and its reader on the side of locust."""

import json
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
        self.ledger = Path(fields["ledger"])
        self.alive: int = fields["alive"]
        self.batch: int = fields["batch"]
        arrays = np.load(folder / "bodies.npz")
        answers = {int(name): arrays[name] for name in arrays.files if name.isdigit()}
        self.oracle = Oracle(arrays["images"], answers, fields["tolerance"])
        self.bodies = split(arrays["bodies"], arrays["ends"])

    def row(self, number: int) -> int:
        """The first image of a request's body."""
        return number % len(self.bodies) * self.batch


def split(joined: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    """The bodies, one after another."""
    starts = [0, *ends[:-1].tolist()]
    return [joined[start:end].tobytes() for start, end in zip(starts, ends.tolist(), strict=True)]
