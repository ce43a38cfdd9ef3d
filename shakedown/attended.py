"""Commands that change a cluster while somebody waits, a person or a CI job: what is told, and what a signal ends."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # of a CI job, of a person, of a connection that is lost


def ended_by_signals() -> None:
    """From here on a signal ends what goes on, as KeyboardInterrupt."""
    for number in SIGNALS:
        signal.signal(number, cancelled)


def cancelled(number: int, _frame: FrameType | None) -> NoReturn:
    """End what goes on at the first signal, and leave its undoing alone at the next."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(f"cancelled by signal {number}")


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, no signal ends anything, nor a program that is started meanwhile: what was begun is being undone."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal is handled here
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(step: str, said: str) -> None:
    """A step, and what became of it; whoever read may have gone, and what goes on is not ended by that."""
    with contextlib.suppress(OSError):
        print(f"{step:<11}{said}", flush=True)
