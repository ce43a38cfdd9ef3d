"""One line when a step starts, a sign of life while it runs, one line with the seconds when it ends."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGN_OF_LIFE_S = 30.0


def say(text: str) -> None:
    """Print one line to stderr at once."""
    print(f"shakedown: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(title: str, expect_s: float | None = None) -> Iterator[None]:
    """Announce `title`, with the seconds it takes on 2 cores where known, then say every 30 s that it goes on."""
    started, done = time.monotonic(), threading.Event()
    about = f" (about {expect_s:.0f} s on 2 cores)" if expect_s else ""
    say(f"{title}{about} ...")

    def tick() -> None:
        while not done.wait(SIGN_OF_LIFE_S):
            say(f"{title}: {time.monotonic() - started:.0f} s so far")

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        done.set()
        ticker.join()
        say(f"{title}: {outcome} in {time.monotonic() - started:.1f} s")
