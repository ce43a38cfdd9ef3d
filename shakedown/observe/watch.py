"""Watchers: look again and again, and write what changed into the ledger with the time at which it was seen."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from shakedown.ledger import Event, Ledger, now
from shakedown.verdict import Inconclusive

BLIND_S = 5.0  # without a look, in which much may come and go: ten times the period
PERIOD_S = 0.5  # the uncertainty of what is seen; a look costs the API server some milliseconds


@dataclass(frozen=True)
class Sight:
    """One thing as it was seen: `kind` of the ledger, `key` by which it is known again, and its fields.

    `at` is on the ledger's clock where the thing says itself when it happened; else it happened when it was seen.
    `farewell` holds the fields that are written once it is no longer seen; without them nothing is.
    """

    kind: str
    key: str
    fields: dict[str, Any]
    at: float | None = None
    farewell: dict[str, Any] | None = None


Look = Callable[[], Sequence[Sight]]


@dataclass
class Watcher:
    """One look, and what it saw last; only changes are written down.

    Raised is nothing after the first look: a look that fails (a dead API server, a pod that is gone) is written down
    once as `unseen`, and so is the next that works where the one before it was long ago: the `kinds` of which nothing
    was seen, `since` when, and why (`said`).
    """

    ledger: Ledger
    look: Look
    seen: dict[str, Sight] = field(default_factory=dict)
    blind: str = ""
    looked: float = field(default_factory=now)  # when the last look that worked was over

    def turn(self) -> None:
        """Look once, and write down what has changed since the last time."""
        sights = {sight.key: sight for sight in self.look()}
        if now() - self.looked > BLIND_S:
            self.unseen(self.blind or "one look took so long")
        for key, sight in sights.items():
            before = self.seen.get(key)
            if before is None or before.fields != sight.fields:
                self.ledger.record(sight.kind, at=sight.at, **sight.fields)
        for key in self.seen.keys() - sights.keys():
            last = self.seen[key]
            if last.farewell is not None:
                self.ledger.record(last.kind, **last.farewell)
        self.seen, self.blind, self.looked = sights, "", now()

    def unseen(self, said: str) -> None:
        """Write down that nothing was seen since the last look that worked."""
        kinds = sorted({sight.kind for sight in self.seen.values()})
        self.ledger.record("unseen", kinds=kinds, since=round(self.looked, 6), said=said)

    def keep_on(self, stop: threading.Event, period: float) -> None:
        """Look until told to stop."""
        while not stop.wait(period):
            try:
                self.turn()
            except Exception as error:  # noqa: BLE001 - whatever keeps it from seeing is worth a line, and no more
                said = f"{type(error).__name__}: {str(error)[:200]}"
                if said != self.blind:
                    self.unseen(said)
                self.blind = said


def require_sight(events: Iterable[Event], kind: str, start: float, end: float) -> None:
    """Raise Inconclusive where nothing of a kind was seen for longer than BLIND_S, in part between two moments."""
    for each in events:
        if each.kind == "unseen" and kind in each.fields["kinds"]:
            since, said = each.fields["since"], each.fields["said"]
            if each.at - since > BLIND_S and since < end and each.at > start:
                raise Inconclusive(f"nothing of kind {kind} was seen for {each.at - since:.1f} s: {said}")


def sighted(events: Iterable[Event], kind: str, start: float, end: float) -> bool:
    """Whether a kind was in sight all the time between two moments."""
    try:
        require_sight(events, kind, start, end)
    except Inconclusive:
        return False
    return True


@contextmanager
def watching(ledger: Ledger, *looks: Look, period: float = PERIOD_S) -> Iterator[None]:
    """Write every change of what is looked at into the ledger while the block runs.

    The first look is taken before the block begins, and what it raises is raised: a watcher that sees nothing is no
    watcher. What is missed is what comes and goes within `period` seconds.
    """
    watchers = [Watcher(ledger, look) for look in looks]
    for watcher in watchers:
        watcher.turn()
    stop = threading.Event()
    threads = [threading.Thread(target=watcher.keep_on, args=(stop, period), daemon=True) for watcher in watchers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=30)
