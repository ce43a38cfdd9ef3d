"""Tests that may be looked at after every sample and still keep the error rates that they were declared with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from operator import add

# Parts of the largest bet that can't lose everything at once; which one is best depends on a spread that nobody knows.
STAKES = tuple(0.5 * 0.25**step for step in range(5))


class Finding(StrEnum):
    """What the samples so far say of the canary."""

    GOOD = "good"
    BAD = "bad"
    UNCLEAR = "inconclusive"


@dataclass(frozen=True)
class Measure:
    """A mean that is fine up to `good` and unbearable from `bad` on; every sample lies within `low` and `high`.

    Between the two either finding is right, and inconclusive the usual one. Raises ValueError unless
    low <= good < bad < high.
    """

    name: str
    good: float
    bad: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low <= self.good < self.bad < self.high:
            raise ValueError(f"{self.name}: {self.low} <= {self.good} < {self.bad} < {self.high} must hold")


class Sequential:
    """One measure's test by betting (Waudby-Smith and Ramdas, 2024): of any distribution, ended at any time.

    Money is bet against "the mean is at most `good`", and against "it is at least `bad`". Where such a claim is true,
    its wealth ever reaches 1/e with a probability of at most e (Ville). `alpha` bounds the share of good canaries
    found bad, `beta` that of bad ones found good; samples of one sequence must not know the next one.
    """

    def __init__(self, measure: Measure, alpha: float, beta: float) -> None:
        self.measure, self.samples, self.total = measure, 0, 0.0
        self.finding = Finding.UNCLEAR
        self._most = -math.log(alpha), -math.log(beta)
        widest = max(measure.good - measure.low, 1e-3 * (measure.high - measure.low))  # a bet without an end is none
        self._rises = [stake / widest for stake in STAKES]
        self._falls = [-stake / (measure.high - measure.bad) for stake in STAKES]
        self._against_good = self._against_bad = [0.0] * len(STAKES)  # logarithms: wealth itself overflows
        self._gains = lru_cache(maxsize=8)(self._gains_of)  # most measures know two or three values

    def observe(self, value: float) -> Finding:
        """Take one sample; a finding once made stays. Raises ValueError for a value out of bounds, NaN included."""
        one = self.measure
        if not one.low <= value <= one.high:
            raise ValueError(f"{one.name} of {value} is not within {one.low} and {one.high}")
        self.samples, self.total = self.samples + 1, self.total + value
        if self.finding is Finding.UNCLEAR:
            rises, falls = self._gains(value)
            self._against_good = list(map(add, self._against_good, rises))
            self._against_bad = list(map(add, self._against_bad, falls))
            if _reaches(self._against_good, self._most[0]):
                self.finding = Finding.BAD
            elif _reaches(self._against_bad, self._most[1]):
                self.finding = Finding.GOOD
        return self.finding

    def _gains_of(self, value: float) -> tuple[list[float], list[float]]:
        rise, fall = value - self.measure.good, value - self.measure.bad
        return [math.log1p(s * rise) for s in self._rises], [math.log1p(s * fall) for s in self._falls]

    def __str__(self) -> str:
        mean = f"{self.total / self.samples:.3%}" if self.samples else "nothing"
        return (
            f"{self.measure.name} {self.finding}: {mean} seen over {self.samples} samples,"
            f" up to {self.measure.good:g} is good and from {self.measure.bad:g} on bad"
        )


def _reaches(logs: list[float], wanted: float) -> bool:
    """Whether all stakes together, an equal part of the money on each, have become this much (logarithms)."""
    most = max(logs)
    return most >= wanted and most + math.log(sum(math.exp(log - most) for log in logs) / len(logs)) >= wanted


def together(findings: Sequence[Finding]) -> Finding:
    """Bad where any is, good where all are; of nothing, nothing is known."""
    if Finding.BAD in findings:
        return Finding.BAD
    return Finding.GOOD if findings and set(findings) == {Finding.GOOD} else Finding.UNCLEAR
