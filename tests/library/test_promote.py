"""A promotion's decisions, before a cluster that isn't there and a front door of its own: who gets users, who none."""

import copy
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import jsonpatch
import numpy as np
import pytest
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from shakedown import promotion as pipeline
from shakedown.cli import main
from shakedown.cluster.access import CommandFailed
from shakedown.ledger import Ledger
from shakedown.promotion import Order, Outcome, Place, promotion, turn_back
from shakedown.replay import Answer
from shakedown.serving import Endpoint
from shakedown.wait import Watch

COUNT, DIGITS = 600, 10
LABELS = np.arange(COUNT) % DIGITS
IMAGES = np.eye(DIGITS, dtype=np.float32)[LABELS]
TESTER = ("x-canary", "1")


class Door(ThreadingHTTPServer):
    """Answers each image with its digit; a tester's answer is made by `canary` of it, None for an error."""

    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.canary: Callable[[int], int | None] = lambda digit: digit


class Handler(BaseHTTPRequestHandler):
    server: Door

    def do_GET(self) -> None:
        self.answer(200, {"model_version_status": [{"version": "3", "state": "AVAILABLE"}]})

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        digits: list[int | None] = [int(np.argmax(image)) for image in sent]
        if self.headers.get(TESTER[0]) == TESTER[1]:
            digits = [self.server.canary(digit) for digit in digits if digit is not None]
        found = [np.eye(DIGITS)[digit].tolist() for digit in digits if digit is not None]
        self.answer(200 if len(found) == len(digits) else 500, {"predictions": found})

    def answer(self, code: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def rule(weights: dict[str, int], *headers: tuple[str, str], path: str = "/v1") -> dict[str, Any]:
    match = {"path": {"type": "PathPrefix", "value": path}, "headers": [{"name": n, "value": v} for n, v in headers]}
    return {"matches": [match], "backendRefs": [{"name": n, "port": 1, "weight": w} for n, w in weights.items()]}


class Routed:
    """A route that takes patches at once; `shares` are the canary's, `refuses` what the API server says to a patch."""

    def __init__(self) -> None:
        self.context, self.shares, self.refuses, self.deaf = "test", list[int](), "", 0
        rules = [rule({"serving": 100, "serving-canary": 0}), rule({"serving-canary": 1}, TESTER)]
        condition = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1}
        self.route: dict[str, Any] = {
            "metadata": {"name": "serving", "generation": 1},
            "spec": {"rules": rules},
            "status": {"parents": [{"conditions": [condition]}]},
        }

    def get(self, path: str) -> dict[str, Any]:
        if self.deaf:
            self.deaf -= 1
            raise HTTPError("connection refused")
        if not path.endswith("/models/httproutes/serving"):
            raise ApiException(status=404, reason="Not Found")
        return copy.deepcopy(self.route)

    def kubectl(self, *arguments: str) -> str:
        if self.refuses:
            raise CommandFailed("kubectl patch: no", 1, self.refuses)
        self.route = jsonpatch.apply_patch(self.route, arguments[-1].partition("=")[2])
        self.shares.append(self.route["spec"]["rules"][0]["backendRefs"][1]["weight"])
        return ""


@pytest.fixture
def door() -> Iterator[Door]:
    with Door() as running:
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


PLACE = Place("models", "serving", "serving", "serving-canary", patience=1)


@pytest.fixture
def order(door: Door) -> Order:
    asked = Endpoint("door", f"http://127.0.0.1:{door.server_port}", "")
    return Order(PLACE, asked, "digits", (TESTER,), IMAGES, LABELS, steps=(10, 100), rate=2000.0, within=20.0)


Attempt = Callable[[Any, Order], tuple[Outcome, str]]


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    """Promote; the outcome and what was said."""

    def run(cluster: Any, order: Order) -> tuple[Outcome, str]:
        said: list[str] = []
        outcome = promotion(
            cluster, order, Ledger(tmp_path / "ledger"), lambda step, words: said.append(f"{step}: {words}")
        )
        return outcome, "\n".join(said)

    return run


def but(order: Order, **changes: Any) -> Order:
    return Order(**{**vars(order), **changes})


def test_a_good_canary_gets_all_users_step_by_step(order: Order, attempt: Attempt) -> None:
    there = Routed()
    outcome, said = attempt(there, order)
    assert outcome is Outcome.DONE, said
    assert there.shares == [0, 10, 100]  # the way back is gone before the first user goes there
    steps = [line.partition(":")[0] for line in said.splitlines()]
    assert steps == ["recorded", "share", "judged", "share", "judged", "promoted"]


@pytest.mark.parametrize("canary", [lambda digit: (digit + 1) % DIGITS, lambda _: None], ids=["wrong", "erring"])
def test_a_bad_canary_is_turned_back_at_its_first_step(
    order: Order, door: Door, attempt: Attempt, canary: Callable[[int], int | None]
) -> None:
    there, door.canary = Routed(), canary
    outcome, said = attempt(there, order)
    assert outcome is Outcome.BAD, said
    assert there.shares == [0, 10, 0]
    assert "all users are serving's again; the canary is bad at 10 %" in said


def test_a_canary_of_which_too_little_is_known_is_turned_back_as_unknown(order: Order, attempt: Attempt) -> None:
    there = Routed()
    outcome, said = attempt(there, but(order, within=0.05))
    assert outcome is Outcome.UNKNOWN
    assert there.shares == [0, 10, 0]
    assert "the canary is inconclusive at 10 %" in said


def test_a_signal_in_the_middle_brings_all_users_back(
    order: Order, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt("cancelled by signal 15")

    monkeypatch.setattr("shakedown.promotion.judged", interrupted)
    there = Routed()
    outcome, said = attempt(there, order)
    assert (outcome, there.shares) == (Outcome.UNKNOWN, [0, 10, 0])
    assert "cancelled by signal 15" in said
    assert "the canary was not judged to the end" in said


def test_a_share_that_somebody_else_took_away_proves_nothing(
    order: Order, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What users did not meet was not promoted, however good testers found it."""
    there, really = Routed(), pipeline.judged

    def overruled(*given: Any) -> Any:
        there.route["spec"]["rules"][0]["backendRefs"][1]["weight"] = 0
        return really(*given)

    monkeypatch.setattr(pipeline, "judged", overruled)
    outcome, said = attempt(there, order)
    assert outcome is Outcome.UNKNOWN
    assert (
        "HTTPRoute models/serving was changed by somebody else meanwhile: it gives serving-canary 0 %, not 10" in said
    )


def test_the_way_back_waits_for_no_canary_that_hangs_and_no_signal_is_lost_on_it(
    order: Order, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that comes while testers' requests hang takes users back at once."""
    there, hanging, asked, told_at = Routed(), Event(), list[int](), list[float]()

    def send(_: Any, row: int) -> Answer:
        asked.append(row)
        if len(asked) > 5:
            hanging.wait(20)
        return Answer(failed=False, seconds=0.01, right=True, stable_right=True, drift=0.0)

    def told(_: Any) -> None:
        told_at.append(time.monotonic())
        raise KeyboardInterrupt("cancelled by signal 15")

    monkeypatch.setattr("shakedown.replay.Replay.send", send)
    monkeypatch.setattr(pipeline, "SHOW_AFTER_S", 0.0)
    monkeypatch.setattr(Watch, "show", staticmethod(told))
    outcome, said = attempt(there, order)
    took = time.monotonic() - told_at[0]
    hanging.set()
    assert (outcome, there.shares) == (Outcome.UNKNOWN, [0, 10, 0]), said
    assert took < 5


def test_users_who_cannot_be_brought_back_are_said_to_be_there_with_the_command_for_it(
    order: Order, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Routed()

    def broken(*_: Any) -> None:
        there.refuses = "conflict"
        raise OSError("the judge is gone")

    monkeypatch.setattr("shakedown.promotion.judged", broken)
    outcome, said = attempt(there, order)
    assert outcome is Outcome.NOT_BACK
    command = "kubectl --context=test --namespace=models patch httproute/serving --type=json --patch="
    assert f"NOT BACK: do it by hand: {command}" in said
    there.refuses = ""
    there.kubectl(f"--patch={said.rpartition('--patch=')[2].strip(chr(39))}")
    assert there.shares[-1] == 0


def test_turning_back_outlasts_an_api_server_that_is_away_for_a_moment() -> None:
    there, said = Routed(), list[str]()
    there.kubectl('--patch=[{"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 50}]')
    there.deaf = 2
    assert turn_back(there, PLACE, lambda step, words: said.append(f"{step}: {words}")) is Outcome.DONE  # type: ignore[arg-type]
    assert there.shares == [50, 0]
    assert said == ["back: all users are serving's"]


def test_turning_back_on_a_route_that_is_not_there_is_no_success() -> None:
    said: list[str] = []
    elsewhere = Place("models", "severing", "serving", "serving-canary", patience=1)
    assert turn_back(Routed(), elsewhere, lambda _, words: said.append(words)) is Outcome.NOT_BACK  # type: ignore[arg-type]
    assert said[0] == "there is no HTTPRoute models/severing; see --namespace and --route"


def shared(there: Routed) -> None:
    there.route["spec"]["rules"][0]["backendRefs"][1]["weight"] = 25


def unresolved(there: Routed) -> None:
    there.route["status"]["parents"][0]["conditions"][0] |= {"status": "False", "type": "ResolvedRefs"}


def forbidden(there: Routed) -> None:
    there.refuses = 'Error from server (Forbidden): httproutes "serving" is forbidden'


def hosted(there: Routed) -> None:
    there.route["spec"]["hostnames"] = ["digits.test", "*.digits.test"]


def untouched(_: Routed) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "ordered", "words"),
    [
        (shared, {}, "gives serving-canary 20 % already; begin at 0"),
        (unresolved, {}, "ResolvedRefs"),
        (hosted, {}, "is for digits.test, *.digits.test, and 127.0.0.1 is asked; name its host with --host"),
        (forbidden, {}, "kubectl patch: no"),
        (untouched, {"headers": (("x-canary", "2"),)}, "no rule leads x-canary: 2 at /v1/models/digits:predict"),
        (untouched, {"headers": ()}, "no rule leads no header"),
        (untouched, {"place": Place("models", "other", "serving", "serving-canary", 1)}, "no HTTPRoute models/other"),
        (untouched, {"place": Place("models", "serving", "serving", "other", 1)}, "no rule splits between"),
        (untouched, {"version": 4}, "4 is not AVAILABLE; serving: [3]"),
        (untouched, {"images": IMAGES[:500], "labels": LABELS[:500]}, "500 recorded requests can't show 2 points"),
        (untouched, {"labels": (LABELS + 1) % DIGITS}, "is right in 0.00% of the recorded requests: whose labels"),
        (untouched, {"door": Endpoint("shut", "http://127.0.0.1:1", "")}, "nobody can be reached there"),
    ],
)
def test_what_is_wrong_before_the_first_user_changes_nothing(
    order: Order, attempt: Attempt, change: Callable[[Routed], None], ordered: dict[str, Any], words: str
) -> None:
    there = Routed()
    change(there)
    outcome, said = attempt(there, but(order, **ordered))
    assert outcome is Outcome.UNCHANGED, said
    assert words in said
    assert not any(there.shares), "somebody was given to the canary"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A promotion's command that nothing is wrong with but that there is no cluster."""
    kept, config = tmp_path / "recorded.json", tmp_path / "config"
    kept.write_text(json.dumps({"instances": IMAGES.tolist(), "labels": LABELS.tolist()}))
    config.write_text("")
    cluster = f"--context nowhere --kubeconfig {config} --kubectl kubectl --namespace models --route serving"
    services = "--stable serving --canary serving-canary --model digits --header x-canary=1"
    return ["promote", "http://127.0.0.1:1", *cluster.split(), *services.split(), "--input", str(kept)]


def test_a_context_that_is_not_there_is_wrong_use(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "there is no context nowhere in" in said
    assert "--kubeconfig names another file; KUBECONFIG is not read" in said


def test_a_kubeconfig_that_is_none_is_wrong_use(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").write_text("{}")
    assert main(command) == 2
    assert "can't be read as a kubeconfig" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--steps", "10,1", "name percentages that rise"),
        ("--steps", "0,50", "name percentages that rise"),
        ("--steps", "50,101", "name percentages that rise"),
        ("--steps", "many", "name percentages that rise"),
        ("--alpha", "0.5", "name a share above 0 and below 0.5"),
        ("--rate", "0", "name a number above 0"),
        ("--slow", "nan", "name a number above 0"),
        ("--header", "x-canary", "name both, as in NAME=VALUE"),
    ],
)
def test_an_option_that_says_nothing_sensible_is_wrong_use(
    command: list[str], option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, option, value])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no JSON", "it must hold instances and labels"),
        ('{"instances": [[1]]}', "it must hold instances and labels"),
        ('{"instances": [[1], [1, 2]], "labels": [1, 2]}', "it must hold instances and labels"),
        ('{"instances": [[1], [2]], "labels": [1]}', "holds 2 instances and 1 labels"),
        ('{"instances": [[1]], "labels": ["one"]}', "each needs its class number"),
    ],
)
def test_a_recording_that_is_none_is_wrong_use(
    command: list[str], tmp_path: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text(text)
    assert main([*command, "--input", str(tmp_path / "bad.json")]) == 2
    assert words in capsys.readouterr().err
