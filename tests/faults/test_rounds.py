"""Faults one after another under one load share what is steady between them, and each answers for its own loss."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fixtures.faults import Arena, Expected, Rounds
from shakedown.faults.inject import Injected
from shakedown.ledger import Ledger
from shakedown.recovery import Seen, Snapshot, whole
from shakedown.verdict import Failed
from shakedown.window import Request, Window


class Traffic:
    """Ten requests a second on a clock of its own; those that were due at `lost` fail."""

    def __init__(self, *lost: float) -> None:
        self.lost, self.clock = lost, 0.0

    def collect(self, seconds: float) -> Window:
        start, self.clock = self.clock, self.clock + seconds
        return self.window(start, self.clock)

    def window(self, start: float, end: float) -> Window:
        due = [moment / 10 for moment in range(int(start * 10), int(end * 10))]
        codes = {moment: 503 if moment in self.lost else 200 for moment in due}
        sent = tuple(Request(m, m, 0.01, codes[m], version=2, right=True, said="") for m in due)
        return Window("steady", start, end, sent, 0.1)


class Faults:
    """Every fault bites at once, and lasts two seconds of the traffic's clock."""

    def __init__(self, traffic: Traffic, ledger: Ledger) -> None:
        self.traffic, self.ledger = traffic, ledger

    @contextmanager
    def inject(self, fault: str) -> Iterator[Injected]:
        yield Injected(fault, "a", self.traffic.clock, 0.0, "it bit")
        self.traffic.clock += 2


def rounds_of(traffic: Traffic, folder: Path) -> Rounds:
    at_rest = Snapshot(0.0, (Seen("a", "uid", "worker", ready=True, deleting=False, run=0),), frozenset({"a"}))
    film = SimpleNamespace(snapshots=[at_rest], since=lambda _: [at_rest], looked=math.inf)
    faults = Faults(traffic, Ledger(folder / "ledger.jsonl"))
    traffic.collect(5)  # it has been steady
    return Rounds(Arena(cast("Any", faults), cast("Any", film), cast("Any", None), 10, 2), cast("Any", traffic), 0.0)


def run(rounds: Rounds) -> Window:
    return rounds.run(cast("Any", "hurt"), set(), Expected(whole(1), 1.0)).traffic


def test_what_is_steady_after_one_fault_is_so_before_the_next(tmp_path: Path) -> None:
    rounds = rounds_of(Traffic(), tmp_path)
    assert [(each.start, each.end) for each in (run(rounds), run(rounds))] == [(0, 12), (7, 19)]


def test_each_fault_answers_for_its_own_loss(tmp_path: Path) -> None:
    rounds = rounds_of(Traffic(6.0, 12.5, 13.0), tmp_path)
    assert [run(rounds).failed, run(rounds).failed] == [1, 2]


def test_loss_after_the_recovery_is_no_part_of_what_the_next_fault_may_cost(tmp_path: Path) -> None:
    rounds = rounds_of(Traffic(9.0), tmp_path)
    with pytest.raises(Failed):
        run(rounds)
