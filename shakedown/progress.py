"""What the person in front of the terminal is told."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

EVERY_S = 5.0  # often enough for a person who waits
EVERY_IN_CI_S = 30.0  # seldom enough for a log that is read afterwards


def say(text: str) -> None:
    """Tell the person in front of the terminal."""
    print(f"shakedown: {text}", file=sys.stderr, flush=True)


@contextmanager
def timed(stages: dict[str, float], stage: str) -> Iterator[None]:
    """Note the seconds that a stage took."""
    say(f"{stage} ...")
    started = time.monotonic()
    yield
    stages[stage] = time.monotonic() - started
    say(f"{stage}: {stages[stage]:.1f} s")


def interval(environment: Mapping[str, str], *, terminal: bool) -> float:
    """Seconds between two lines on the same wait: a person gets more of them than a log."""
    watched = terminal and not environment.get("CI") and environment.get("TERM") != "dumb"
    return EVERY_S if watched else EVERY_IN_CI_S


def plain(text: str) -> str:
    """Text in one line and without control characters, whoever wrote it."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def waiting_line(phase: str, awaited: str, seen: str, waited: float, left: float) -> str:
    """What is awaited, in which phase, what is there instead, and the seconds that are left before the deadline."""
    return plain(f"{phase}: waiting {waited:.0f} s (at most {left:.0f} s more) for: {awaited} | now: {seen}")
