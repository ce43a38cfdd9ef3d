"""The only place that sleeps for a state to come."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from shakedown.verdict import Failed

T = TypeVar("T")

POLL_S = 0.25  # well under the shortest period of a fast clock (1 s), so that it adds little to what is measured
SHOW_AFTER_S = 2.0  # a person who waits longer than this wants to know for what


class NotYet(Exception):
    """Raised by a check: the state isn't there yet; the message says what is there instead."""


class TimedOut(Failed):
    """The state didn't come in time."""


@dataclass(frozen=True)
class Waiting:
    """What a person is told while a wait goes on; times in seconds."""

    awaited: str
    seen: str
    waited: float
    left: float


def unseen(_: Waiting) -> None:
    """Nobody watches."""


class Watch:
    """Who is told about waits that take longer than 2 s; `show` is set by the front end."""

    show: Callable[[Waiting], None] = staticmethod(unseen)


def eventually(check: Callable[[], T], *, within: float, awaited: str = "") -> T:
    """Call `check` until it returns instead of raising NotYet, and give back what it returned.

    `within` is in seconds. Raises TimedOut with what was awaited, what was last seen and after how long; any other
    exception of the check ends the wait at once.
    """
    awaited = awaited or (check.__doc__ or check.__name__).strip().splitlines()[0].rstrip(".")
    started = time.monotonic()
    while True:
        try:
            return check()
        except NotYet as not_yet:
            waited = time.monotonic() - started
            if waited >= within:
                told = f"{awaited}: not within {round(within, 1):g} s; last seen after {waited:.1f} s: {not_yet}"
                raise TimedOut(told) from None
            if waited >= SHOW_AFTER_S:
                Watch.show(Waiting(awaited, str(not_yet), waited, within - waited))
        time.sleep(min(POLL_S, max(0.0, within - (time.monotonic() - started))) or POLL_S)
