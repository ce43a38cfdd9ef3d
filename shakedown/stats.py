"""Exact tests and intervals, and the samples that they need; every error rate is declared by the caller."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from shakedown.verdict import Inconclusive

FEWEST_EXPECTED = 5  # below this a share's count is no longer chi-square like (Cochran's rule)
MOST_PAIRS = 2**17
MOST_SAMPLES = 2**24  # a plan that needs more is no plan for a test run


@dataclass(frozen=True)
class Interval:
    """Where a probability lies: `low` and `high`, both included, at the confidence that was asked for."""

    low: float
    high: float

    def __contains__(self, probability: float) -> bool:
        return self.low <= probability <= self.high

    def __str__(self) -> str:
        return f"{self.low:.3%} to {self.high:.3%}"


@dataclass(frozen=True)
class Plan:
    """How many to sample, and from how many hits on p0 is refused in favour of p1 (up to how many, where p1 < p0)."""

    samples: int
    critical: int


def binomial_interval(hits: int, samples: int, alpha: float) -> Interval:
    """Where the probability of a hit lies (Clopper and Pearson): wrong at most in `alpha` of all cases, both sides.

    Raises Inconclusive where nothing was sampled.
    """
    if samples <= 0:
        raise Inconclusive("nothing was sampled, so nothing is known of its probability")
    found = stats.binomtest(hits, samples).proportion_ci(1 - alpha, method="exact")
    return Interval(float(found.low), float(found.high))


def one_sided_bound(hits: int, samples: int, alpha: float) -> float:
    """What the probability of a hit doesn't exceed; wrong at most in `alpha` of all cases."""
    return binomial_interval(hits, samples, 2 * alpha).high


def plan_binomial(p0: float, p1: float, alpha: float, beta: float) -> Plan:
    """The fewest samples that tell probability p0 from p1, by the exact one-sided binomial test.

    `alpha` bounds the share of p0s that are refused, `beta` the share of p1s that are not. Raises ValueError where
    more than 2**24 samples would be needed.
    """
    if p1 < p0:
        mirrored = plan_binomial(1 - p0, 1 - p1, alpha, beta)
        return Plan(mirrored.samples, mirrored.samples - mirrored.critical)
    first, size = 1, 1024
    while p0 < p1 and first + size <= MOST_SAMPLES:
        samples = np.arange(first, first + size)
        critical = stats.binom.isf(alpha, samples, p0) + 1  # the fewest hits that p0 gives in at most alpha of cases
        enough = np.flatnonzero(stats.binom.sf(critical - 1, samples, p1) >= 1 - beta)
        if len(enough):
            return Plan(int(samples[enough[0]]), int(critical[enough[0]]))
        first, size = first + size, size * 2
    raise ValueError(f"{p0:g} and {p1:g} can't be told apart with {MOST_SAMPLES:,} samples or fewer")


def shares_p_value(counts: Sequence[int], weights: Sequence[float] | None = None) -> float:
    """How likely counts at least this far from their shares are, where each sample falls at random by `weights`.

    Even shares where no weights are given. Exact for two shares, chi-square for more. Raises Inconclusive where a
    share expects fewer than 5, and says how many samples would do; ValueError for fewer than two shares.
    """
    chosen = np.ones(len(counts)) if weights is None else np.asarray(weights, dtype=float)
    if len(counts) < 2 or len(chosen) != len(counts):
        raise ValueError(f"{len(counts)} counts and {len(chosen)} weights: there is nothing to share")
    expected = sum(counts) * chosen / chosen.sum()
    if expected.min() < FEWEST_EXPECTED:
        needed = int(np.ceil(FEWEST_EXPECTED * chosen.sum() / chosen.min()))
        raise Inconclusive(f"{sum(counts)} samples say nothing about {len(counts)} shares, {needed} are needed")
    if len(counts) == 2:
        return float(stats.binomtest(counts[0], sum(counts), float(chosen[0] / chosen.sum())).pvalue)
    return float(stats.chisquare(counts, expected).pvalue)


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """How likely two equally good sides differ at least this much on the same cases (exact).

    `only_first` counts the cases that only the first got right, `only_second` those that only the second did. With no
    such case there is no difference: 1.
    """
    discordant = only_first + only_second
    return float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0


def plan_mcnemar(lost: float, won: float, alpha: float, beta: float) -> int:
    """Enough pairs that McNemar's exact two-sided test at `alpha` misses a difference in at most `beta` of all cases.

    `lost` is the share of pairs that only the first got right, `won` that only the second did. A few less may do now
    and then, since one pair more can be a little worse. Raises ValueError where they are equal, or where more than
    2**17 pairs would be needed.
    """
    if lost == won:
        raise ValueError("two sides that lose as much as they win are equally good: no sample shows a difference")
    most = 1
    while mcnemar_power(most, lost, won, alpha) < 1 - beta:
        most *= 2
        if most > MOST_PAIRS:
            raise ValueError(f"{lost:g} lost and {won:g} won can't be told apart with {MOST_PAIRS:,} pairs")
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if mcnemar_power(middle, lost, won, alpha) >= 1 - beta else (middle, most)
    return most


def mcnemar_power(pairs: int, lost: float, won: float, alpha: float) -> float:
    """How likely McNemar's exact two-sided test at `alpha` shows a difference by so many pairs."""
    discordant = np.arange(pairs + 1)
    larger = max(lost, won) / (lost + won)
    # the fewest of the larger kind that make the test significant, out of so many discordant pairs
    critical = stats.binom.isf(alpha / 2, discordant, 0.5) + 1
    seen = stats.binom.pmf(discordant, pairs, lost + won)
    return float((seen * stats.binom.sf(critical - 1, discordant, larger)).sum())
