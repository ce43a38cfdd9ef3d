"""What the person in front of the terminal is told."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


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
