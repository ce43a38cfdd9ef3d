"""A steady trickle of predictions through the front door: each is sent once, judged by its answer, and counted."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from shakedown.backends.wire import words
from shakedown.ledger import Ledger, now
from shakedown.oracle import Oracle
from shakedown.serving import REQUEST_S, Endpoint
from shakedown.verdict import Failed, Inconclusive
from shakedown.wait import NotYet, eventually


@dataclass(frozen=True)
class Sent:
    """One prediction as it came back.

    `at` is on the ledger's clock and `seconds` what it took; `code` is the HTTP code, 0 where none came; `version` is
    whose answer it was, 0 where it was no version's; `said` is the error's text.
    """

    at: float
    seconds: float
    code: int
    version: int
    said: str


class Flow:
    """The predictions of one steady flow, so far."""

    def __init__(self, rate: float) -> None:
        self.rate, self.sent = rate, list[Sent]()

    def collect(self, count: int) -> None:
        """Wait until `count` more predictions have come back, whatever they say."""
        wanted = len(self.sent) + count

        def enough() -> None:
            """The steady flow goes on."""
            if len(self.sent) < wanted:
                raise NotYet(f"{len(self.sent)} of {wanted} predictions came back")

        eventually(enough, within=count / self.rate * 2 + 2 * REQUEST_S)

    def judge(self, right: set[int], least: int) -> str:
        """What was counted, in words. Raises Failed unless every prediction came back right.

        `right` holds the versions whose answers are right. Raises Inconclusive where fewer than `least` were sent.
        """
        sent = list(self.sent)
        failed = [s for s in sent if s.code != 200]
        wrong = [s for s in sent if s.code == 200 and s.version not in right]
        if failed:
            first = failed[0]
            raise Failed(f"{len(failed)} of {len(sent)} predictions failed, the first: {first.code or ''} {first.said}")
        if wrong:
            seen = dict(Counter(s.version for s in wrong))
            raise Failed(f"{len(wrong)} of {len(sent)} predictions were wrong; by version (0: nobody's): {seen}")
        if len(sent) < least:
            raise Inconclusive(f"only {len(sent)} predictions were sent, {least} are needed to say anything")
        slowest = max(s.seconds for s in sent)
        versions = dict(Counter(s.version for s in sent))
        return f"{len(sent)} predictions, none failed, none wrong (by version {versions}), slowest {slowest:.2f} s"


def predict_once(endpoint: Endpoint, model: str, oracle: Oracle, row: int) -> Sent:
    """Send one prediction, once."""
    started = now()
    try:
        question = endpoint.wire.question(oracle.images[row : row + 1])
        answer = endpoint.post(endpoint.wire.prediction_path(model), question)
    except requests.RequestException as error:
        return Sent(started, now() - started, 0, 0, f"{type(error).__name__}: {str(error)[:200]}")
    seconds = now() - started
    if answer.status_code != 200:
        return Sent(started, seconds, answer.status_code, 0, words(answer.text))
    found = endpoint.wire.answers(answer.json())
    return Sent(started, seconds, 200, oracle.version_of(row, found[0]), "")


@contextmanager
def steady(endpoint: Endpoint, model: str, oracle: Oracle, ledger: Ledger, rate: float) -> Iterator[Flow]:
    """Send `rate` predictions a second from a thread until the block ends; each one goes into the ledger."""
    flow, stop = Flow(rate), threading.Event()

    def send() -> None:
        for turn in itertools.cycle(range(len(oracle.images))):
            due = now() + 1 / rate
            one = predict_once(endpoint, model, oracle, turn)
            flow.sent.append(one)
            ledger.record(
                "request", at=one.at, seconds=round(one.seconds, 4), code=one.code, version=one.version, said=one.said
            )
            if stop.wait(max(0.0, due - now())):
                return

    thread = threading.Thread(target=send, name="steady", daemon=True)
    thread.start()
    try:
        yield flow
    finally:
        stop.set()
        thread.join(timeout=2 * REQUEST_S)
