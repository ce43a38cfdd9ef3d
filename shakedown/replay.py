"""Recorded requests sent once more, to the canary alone, each answer held against the stable version's."""

import itertools
import json
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
from numpy.typing import NDArray

from shakedown.ledger import Ledger, now
from shakedown.oracle import Floats
from shakedown.serving import Endpoint
from shakedown.verdict import Inconclusive

UNDER_WAY = 32  # requests at once: at 50 a second enough for answers that take 0.6 s each
BATCH = 32  # images a request while the stable version is asked: as many as its batching takes at once


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of the canary to a request.

    `seconds` is what it took, `right` whether it is the true label and `stable_right` whether the stable version's to
    the same input is, `drift` how far apart their best labels' probabilities are; all three None where the input has
    no known label, or no answer came (`failed`).
    """

    failed: bool
    seconds: float = 0.0
    right: bool | None = None
    stable_right: bool | None = None
    drift: float | None = None


@dataclass(frozen=True)
class Recording:
    """Recorded requests: images (n, 784), their true labels (n), and what the stable version answered (n, 10)."""

    images: Floats
    labels: NDArray[np.int64]
    stable: Floats

    def compare(self, row: int, found: Floats, seconds: float) -> Answer:
        """An answer to one image beside the stable version's."""
        label, usual = self.labels[row], self.stable[row]
        return Answer(
            failed=False,
            seconds=seconds,
            right=bool(found.argmax() == label),
            stable_right=bool(usual.argmax() == label),
            drift=min(1.0, abs(float(found.max()) - float(usual.max()))),
        )


def recorded_in(file: Path) -> tuple[Floats, NDArray[np.int64]]:
    """The inputs and true labels in a file, {"instances": [[...], ...], "labels": [...]}.

    Raises OSError where it can't be read, ValueError where it holds something else.
    """
    try:
        given = json.loads(file.read_text())
        images, labels = np.asarray(given["instances"], dtype=np.float32), np.asarray(given["labels"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: {type(error).__name__}: {error}; it must hold instances and labels") from error
    if images.ndim < 2 or labels.ndim != 1 or labels.dtype.kind != "i" or len(images) != len(labels):
        raise ValueError(f"{file}: holds {len(images)} instances and {labels.size} labels; each needs its class number")
    return images, labels.astype(np.int64)


def record_stable(endpoint: Endpoint, model: str, images: Floats, labels: NDArray[np.int64]) -> Recording:
    """Ask the stable version for its answers, while it alone is behind `endpoint`. Raises Failed where it refuses."""
    parts = [endpoint.predict_rest(model, images[at : at + BATCH]) for at in range(0, len(images), BATCH)]
    if not parts:
        raise Inconclusive("nothing was recorded, so nothing can be sent again")
    return Recording(images, labels, np.concatenate(parts))


@dataclass(frozen=True)
class Replay:
    """Sends recorded requests, drawn at random by `seed`, to `endpoint`: `rate` a second, each once."""

    endpoint: Endpoint
    model: str
    recording: Recording
    ledger: Ledger
    rate: float

    def answers(self, seed: int) -> Generator[Answer]:
        """Answers in the order of sending, without an end; those under way when it is closed are nobody's any more."""
        drawn, pause, start = np.random.default_rng(seed), threading.Event(), now()
        pool, under_way = ThreadPoolExecutor(UNDER_WAY, thread_name_prefix="replay"), deque[Future[Answer]]()
        try:
            for number in itertools.count():
                pause.wait(max(0.0, start + number / self.rate - now()))
                under_way.append(pool.submit(self.send, int(drawn.integers(len(self.recording.images)))))
                while under_way and (under_way[0].done() or len(under_way) >= UNDER_WAY):
                    yield under_way.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # users don't wait for a canary that hangs

    def send(self, row: int) -> Answer:
        """Send one request; an error, or no answer, is an answer that failed."""
        body, started = {"instances": self.recording.images[row : row + 1].tolist()}, now()
        try:
            answer = self.endpoint.post(f"/v1/models/{self.model}:predict", body)
            code, said = answer.status_code, "" if answer.ok else answer.text[:200]
        except requests.RequestException as error:
            code, said = 0, f"{type(error).__name__}: {str(error)[:200]}"
        seconds = now() - started
        judged = Answer(failed=True, seconds=seconds)
        if code == requests.codes.ok:
            try:
                found = np.asarray(answer.json()["predictions"][0], dtype=np.float32)
                judged = self.recording.compare(row, found, seconds)
            except (LookupError, TypeError, ValueError):
                said = f"no prediction in: {answer.text[:200]}"
        self.ledger.record("replayed", at=started, row=row, code=code, said=said, **vars(judged))
        return judged
