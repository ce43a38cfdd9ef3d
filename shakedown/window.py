"""Requests of a load between two moments, and what is judged by them."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from shakedown.verdict import Failed, Inconclusive

LATE_S = 0.1  # a generator that sends this late no longer holds its rate: the clients' own time-outs are 100 times that
BUSY = 0.9  # of a core: a generator has no more than one
KEPT_UP = 0.99  # of the requests are sent in time; the last hundredth waits for a core while new servers start
LEAST = 50  # requests: with fewer, a failure of one in twenty would be missed one time in ten


@dataclass(frozen=True)
class Request:
    """One request: `scheduled` and `sent` on the ledger's clock, `seconds` from sent to its end.

    `code` is HTTP's (200 for gRPC's OK, 0 where no answer came), `version` who answered (0: nobody known), `right`
    whether that is a golden answer of its version, `said` the error's text.
    """

    scheduled: float
    sent: float
    seconds: float
    code: int
    version: int
    right: bool
    said: str

    @property
    def latency(self) -> float:
        """Seconds that a user waited, from when the request was due: a stall before sending counts too."""
        return self.sent + self.seconds - self.scheduled

    @property
    def lateness(self) -> float:
        """Seconds between when it was due and when it was sent."""
        return self.sent - self.scheduled


@dataclass(frozen=True)
class Window:
    """The requests of one load that were due from `start` to `end`, and the generator's share of a core meanwhile."""

    flow: str
    start: float
    end: float
    requests: tuple[Request, ...]
    cpu: float

    @property
    def sent(self) -> int:
        """How many were due; each was sent once, or counted as failed."""
        return len(self.requests)

    @property
    def failures(self) -> list[Request]:
        """Those without a good answer."""
        return [each for each in self.requests if each.code != 200]

    @property
    def failed(self) -> int:
        """How many got no answer, or an error."""
        return len(self.failures)

    @property
    def wrong(self) -> int:
        """How many got an answer that no version gives."""
        return sum(each.code == 200 and not each.right for each in self.requests)

    @property
    def rate(self) -> float:
        """Requests due per second."""
        return self.sent / (self.end - self.start)

    def quantile(self, q: float) -> float:
        """The q-th quantile of what users waited, in seconds, failed requests included. Raises Inconclusive on none."""
        return self._quantile([each.latency for each in self.requests], q)

    @property
    def lateness(self) -> float:
        """What 99 % of the requests were not later than, in seconds."""
        return self._quantile([each.lateness for each in self.requests], KEPT_UP)

    def by_version(self) -> dict[int, int]:
        """How many each version answered; 0 stands for nobody."""
        return dict(Counter(each.version for each in self.requests if each.code == 200))

    def assert_kept_up(self, least: int = LEAST) -> None:
        """Raise Inconclusive where too little was sent, or where the generator was the bottleneck."""
        if self.sent < least:
            raise Inconclusive(f"{self.flow}: only {self.sent} requests were due, {least} are needed to say anything")
        if self.lateness > LATE_S:
            raise Inconclusive(
                f"{self.flow}: the generator was the bottleneck: 1 % of its requests were sent more than"
                f" {self.lateness:.2f} s late (own CPU: {self.cpu:.0%} of a core); ask for less, or free the machine"
            )
        if self.cpu > BUSY:
            raise Inconclusive(f"{self.flow}: the generator was the bottleneck: it used {self.cpu:.0%} of its core")

    def assert_none_failed(self, least: int = LEAST) -> None:
        """Raise Failed where a request got no good answer, with the first one's words; Inconclusive on too few."""
        if self.failures:
            reasons = Counter(f"{each.code or ''} {each.said}".strip() for each in self.failures)
            (often, count), first = reasons.most_common(1)[0], self.failures[0].scheduled - self.start
            raise Failed(
                f"{self.failed} of {self.sent} predictions failed ({self.flow}), the first {first:.1f} s into the"
                f" window, {count} of them with: {often}"
            )
        self.assert_enough(least)

    def assert_none_wrong(self, versions: set[int] | None = None, least: int = LEAST) -> None:
        """Raise Failed where an answer was of no version, or of none that is named; Inconclusive on too few."""
        good = [each for each in self.requests if each.code == 200]
        wrong = [each for each in good if not each.right or (versions is not None and each.version not in versions)]
        if wrong:
            seen = dict(Counter(each.version for each in wrong))
            raise Failed(f"{len(wrong)} of {len(good)} predictions were wrong; by version (0: nobody's): {seen}")
        self.assert_enough(least)

    def assert_within(self, seconds: float, q: float = 0.99, least: int = LEAST) -> None:
        """Raise Failed where the q-th quantile of what users waited is longer; Inconclusive where that says nothing."""
        self.assert_kept_up(least)
        if self.quantile(q) > seconds:
            raise Failed(
                f"{self.flow}: {q:.0%} of the predictions took up to {self.quantile(q):.3f} s, the objective is"
                f" {seconds:g} s (median {self.quantile(0.5):.3f} s, {self.sent} sent)"
            )

    def assert_enough(self, least: int) -> None:
        """Raise Inconclusive where fewer requests than `least` were due."""
        if self.sent < least:
            raise Inconclusive(f"{self.flow}: only {self.sent} requests were due, {least} are needed to say anything")

    def _quantile(self, values: list[float], q: float) -> float:
        if not values:
            raise Inconclusive(f"{self.flow}: no request was due in {self.end - self.start:.1f} s")
        return float(np.quantile(values, q))

    def __str__(self) -> str:
        if not self.requests:
            return f"{self.flow}: nothing was due"
        return (
            f"{self.sent} requests at {self.rate:.1f}/s, {self.failed} failed, {self.wrong} wrong,"
            f" p50 {self.quantile(0.5) * 1e3:.0f} ms, p99 {self.quantile(0.99) * 1e3:.0f} ms, generator late by"
            f" {self.lateness * 1e3:.0f} ms (p99) at {self.cpu:.0%} of a core"
        )
