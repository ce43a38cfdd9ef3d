"""Numbers over time: requests counted in bins of equal width, states as steps and spans."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shakedown.ledger import Event
from shakedown.report.story import Requests, Story

WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
BINS = 1500  # as many as a laptop's screen shows, and few enough that a night's run stays a small page

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bins:
    """Requests in bins of `width` seconds from the story's start: one entry a bin, NaN where nothing was sent.

    `rate`, `failed` and `wrong` are requests a second by the time of sending; `p50` and `p99` are seconds that answers
    took; `share` maps each version to its part (0..1) of the answers.
    """

    width: float
    rate: Floats
    failed: Floats
    wrong: Floats
    p50: Floats
    p99: Floats
    share: dict[int, Floats]


def width_for(seconds: float) -> float:
    """The shortest of the usual widths that cuts so many seconds into at most 1500 bins."""
    return float(next((width for width in WIDTHS_S if seconds / width <= BINS), seconds / BINS))


def binned(story: Story) -> Bins:
    """A story's requests in bins."""
    width = width_for(story.end - story.start)
    count = max(1, int(np.ceil((story.end - story.start) / width)))
    requests = story.requests
    place = np.minimum(((requests.at - story.start) / width).astype(np.int64), count - 1)

    def counted(chosen: NDArray[np.bool_]) -> Floats:
        return np.bincount(place[chosen], minlength=count).astype(np.float64)

    sent = counted(np.ones(len(place), dtype=np.bool_))
    quiet = sent == 0
    p50, p99 = quantiles(requests, place, count, (0.5, 0.99))
    return Bins(
        width=width,
        rate=np.where(quiet, np.nan, sent / width),
        failed=np.where(quiet, np.nan, counted(requests.failed) / width),
        wrong=np.where(quiet, np.nan, counted(requests.wrong) / width),
        p50=p50,
        p99=p99,
        share=shares(requests, counted),
    )


def quantiles(requests: Requests, place: NDArray[np.int64], count: int, wanted: Sequence[float]) -> Floats:
    """Quantiles of the answers' seconds, [len(wanted), count]; NaN in a bin without answers."""
    found = np.full((len(wanted), count), np.nan)
    answered = ~requests.failed
    order = np.argsort(place[answered], kind="stable")
    places, seconds = place[answered][order], requests.seconds[answered][order]
    bins, first = np.unique(places, return_index=True)
    for at, group in zip(bins, np.split(seconds, first[1:]), strict=False):
        found[:, at] = np.quantile(group, wanted)
    return found


def shares(requests: Requests, counted: Callable[[NDArray[np.bool_]], Floats]) -> dict[int, Floats]:
    """Each version's part of the answers, in each bin; NaN in a bin without answers."""
    answered = ~requests.failed
    total = counted(answered)
    with np.errstate(invalid="ignore"):
        versions = sorted(int(version) for version in np.unique(requests.version[answered]))
        return {each: counted(answered & (requests.version == each)) / total for each in versions}


def steps(events: Iterable[Event], field: str) -> list[tuple[float, float]]:
    """(when, value) of each change of a field that holds a number; events that don't have it are passed over."""
    changes: list[tuple[float, float]] = []
    for event in events:
        value = event.fields.get(field)
        if isinstance(value, int | float) and (not changes or changes[-1][1] != value):
            changes.append((event.at, float(value)))
    return changes


@dataclass(frozen=True)
class Span:
    """A state that lasted: from `start` to `end` on the ledger's clock."""

    lane: str
    state: str
    start: float
    end: float
    said: str


def spans(
    events: Iterable[Event],
    key: Callable[[Event], Hashable],
    state: Callable[[Event], tuple[str, str]],
    over: frozenset[str],
    end: float,
) -> Iterator[Span]:
    """The spans of states, each ended by the next event of the same key, or by the end of the story.

    `key` says whose state an event tells, `state` gives the state and the words for it; a state in `over` is none.
    """
    open_: dict[Hashable, tuple[str, Event]] = {}
    for event in events:
        name, _ = state(event)
        before = open_.get(key(event))
        if before and before[0] == name:
            continue
        if before:
            yield Span(str(key(event)), before[0], before[1].at, event.at, state(before[1])[1])
        open_.pop(key(event), None)
        if name not in over:
            open_[key(event)] = (name, event)
    for lane, (name, event) in open_.items():
        yield Span(str(lane), name, event.at, end, state(event)[1])
