"""Shapes of load: how many requests are due at which moment, whatever becomes of those before (an open model)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MOST_REQUESTS = 1_000_000
LONGEST_S = 3600.0
SINE_POINTS = 32  # of one wave: straight lines between them are within half a percent of its height


@dataclass(frozen=True)
class Shape:
    """A rate over time: straight lines between `points` of (seconds since the start, requests a second).

    Two points at one moment are a jump. Raises ValueError for a shape without an end, with a rate below zero, of more
    than an hour or of more than a million requests.
    """

    name: str
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        moments = [moment for moment, _ in self.points]
        if len(moments) < 2 or moments[0] != 0 or moments != sorted(moments):
            raise ValueError(f"{self}: a shape goes from 0 to its end")
        if min(rate for _, rate in self.points) < 0:
            raise ValueError(f"{self}: no rate is below 0")
        if self.seconds > LONGEST_S or self.total > MOST_REQUESTS:
            raise ValueError(f"{self}: load is bounded by {LONGEST_S:g} s and {MOST_REQUESTS:,} requests")

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.points[-1][0]

    @property
    def total(self) -> int:
        """How many requests it holds, rounded down."""
        return int(self._due()[-1] + 1e-9)

    @property
    def highest(self) -> float:
        """Its highest rate, in requests a second."""
        return max(rate for _, rate in self.points)

    def arrivals(self) -> NDArray[np.float64]:
        """When each request is due, in seconds since the start, evenly spaced at a steady rate."""
        due, wanted = self._due(), np.arange(self.total) + 0.5
        place = np.searchsorted(due, wanted, side="right") - 1
        (moments, rates), spans = np.transpose(self.points), np.diff(np.transpose(self.points)[0])
        slopes = np.divide(np.diff(rates), spans, out=np.zeros_like(spans), where=spans > 0)[place]
        left = wanted - due[place]  # requests of this line that come before; due where rate*t + slope*t*t/2 = left
        first = rates[place]
        root = np.sqrt(np.maximum(0.0, first**2 + 2 * slopes * left))
        found: NDArray[np.float64] = moments[place] + 2 * left / (first + root)
        return found

    def _due(self) -> NDArray[np.float64]:
        """How many requests are due until each point."""
        areas = [(end - start) * (low + high) / 2 for (start, low), (end, high) in pairwise(self.points)]
        return np.cumsum([0.0, *areas])


def steady(rate: float, seconds: float) -> Shape:
    """One rate all the time."""
    return Shape(f"steady {rate:g}/s", ((0.0, rate), (seconds, rate)))


def lasting(rate: float) -> Shape:
    """One rate for as long as a load may last."""
    return steady(rate, min(LONGEST_S, (MOST_REQUESTS + 0.5) / rate))


def step(rates: Sequence[float], seconds: float) -> Shape:
    """One rate after another, each for so many seconds."""
    points = [(turn * seconds + offset, rate) for turn, rate in enumerate(rates) for offset in (0.0, seconds)]
    return Shape(f"step {'→'.join(f'{rate:g}' for rate in rates)}/s", tuple(points))


def ramp(low: float, high: float, seconds: float, hold: float = 0.0) -> Shape:
    """From one rate to another in a straight line, and then for `hold` seconds at that."""
    return Shape(f"ramp {low:g}→{high:g}/s", ((0.0, low), (seconds, high), (seconds + hold, high)))


def spike(base: float, peak: float, before: float, seconds: float, after: float) -> Shape:
    """A base rate, with a peak of so many seconds in it."""
    start, end = before, before + seconds
    points = ((0.0, base), (start, base), (start, peak), (end, peak), (end, base), (end + after, base))
    return Shape(f"spike {base:g}→{peak:g}/s", points)


def sine(low: float, high: float, period: float, seconds: float) -> Shape:
    """Waves between two rates, that begin at the lower one."""
    moments = np.append(np.arange(0.0, seconds, period / SINE_POINTS), seconds)
    rates = low + (high - low) * (1 - np.cos(2 * np.pi * moments / period)) / 2
    return Shape(f"sine {low:g}~{high:g}/s", tuple(zip(moments.tolist(), rates.tolist(), strict=True)))
