"""What is sent again is counted once each, and judged beside the stable version's answer."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Lock, Thread

import numpy as np
import pytest
import requests

from shakedown.ledger import Ledger
from shakedown.replay import Recording, Replay, record_stable
from shakedown.serving import Endpoint
from shakedown.verdict import Inconclusive

IMAGES = np.eye(10, 784, dtype=np.float32)  # image n has its one pixel at n, and shows digit n
STABLE = np.eye(10, dtype=np.float32) * 0.9 + 0.01
LABELS = np.arange(10)


class Server(ThreadingHTTPServer):
    """Answers each image with its own digit, but 3 with a wrong one and 4 with an error; keeps what it was asked."""

    request_queue_size = 256  # the replay has up to 32 connections, and five are what waits by default

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.lock = list[tuple[int, str]](), Lock()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        digits = [int(np.argmax(image)) for image in sent]
        with self.server.lock:
            self.server.asked += [(digit, self.headers.get("x-canary", "")) for digit in digits]
        body = json.dumps({"predictions": [STABLE[5 if digit == 3 else digit].tolist() for digit in digits]}).encode()
        self.send_response(500 if digits == [4] else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def replay(server: Server, tmp_path: Path) -> Replay:
    door = Endpoint("door", f"http://127.0.0.1:{server.server_port}", "", headers=(("x-canary", "1"),))
    return Replay(door, "digits", Recording(IMAGES, LABELS, STABLE), Ledger(tmp_path / "ledger"), 500.0)


def test_each_request_is_sent_with_the_testers_header_and_its_answer_judged(server: Server, replay: Replay) -> None:
    found = list(islice(replay.answers(seed=1), 60))
    drawn = [row for row, _ in server.asked]
    assert {header for _, header in server.asked} == {"1"}
    assert len(server.asked) >= 60
    assert sum(one.failed for one in found) <= drawn.count(4)
    assert {one.right for one in found if not one.failed} == {True, False}
    assert all(one.stable_right and one.drift == 0 for one in found if not one.failed)


def test_answers_come_in_the_order_of_sending_and_each_is_in_the_ledger(replay: Replay) -> None:
    order = np.random.default_rng(7)
    rows = [int(order.integers(10)) for _ in range(40)]
    found = list(islice(replay.answers(seed=7), 40))
    assert [one.failed for one in found] == [row == 4 for row in rows]
    assert [one.right for one in found if not one.failed] == [row != 3 for row in rows if row != 4]
    written = [event for event in replay.ledger.events() if event.kind == "replayed"]
    assert len(written) >= 40
    assert {event.fields["code"] for event in written} == {200, 500}


def test_no_answer_at_all_is_one_that_failed(replay: Replay, server: Server) -> None:
    server.socket.close()
    assert next(replay.answers(seed=1)).failed


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"predictions": []}', b'{"predictions": ["a"]}'])
def test_an_answer_that_holds_no_prediction_failed(
    replay: Replay, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    answer = requests.Response()
    answer.status_code, answer._content = 200, body
    monkeypatch.setattr(Endpoint, "post", lambda *_: answer)
    assert next(replay.answers(seed=1)).failed


def test_the_stable_version_is_asked_for_every_image(server: Server, replay: Replay) -> None:
    recorded = record_stable(replay.endpoint, "digits", IMAGES, LABELS)
    assert [digit for digit, _ in server.asked] == LABELS.tolist()
    assert recorded.stable.argmax(axis=1).tolist() == [0, 1, 2, 5, 4, 5, 6, 7, 8, 9]


def test_nothing_recorded_is_no_recording(replay: Replay) -> None:
    with pytest.raises(Inconclusive, match="nothing was recorded"):
        record_stable(replay.endpoint, "digits", IMAGES[:0], LABELS[:0])
