"""The command line on runs that never were and on an endpoint that isn't a model server."""

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from shakedown.attended import tell
from shakedown.cli import Narrator, main
from shakedown.report import bundle
from shakedown.report.bundle import Judged
from shakedown.verdict import Outcome
from shakedown.wait import Waiting
from tests.report.ledgers import NODE, SHARE, lay, promise, verdict

PROJECT = Path(__file__).parents[2]
DIGEST = "sha256:" + "a" * 64


def green(reports: Path, run: str, outcome: Outcome = Outcome.PASSED, **judged: Any) -> None:
    folder = reports / run
    folder.mkdir()
    reason = "" if outcome is Outcome.PASSED else "broken"
    made = verdict(run, [promise(NODE, outcome, reason), promise(SHARE)], exit_code=int(outcome is Outcome.FAILED))
    bundle.write(folder, made.model_copy(update={"judged": Judged(manifests=DIGEST, **judged)}))


def test_show_prints_each_promise_and_markdown_for_a_ci_page(tmp_path: Path, capsys: Any) -> None:
    lay(tmp_path, "20261123-000000-2")
    assert main(["--reports", str(tmp_path), "show", "20261123-000000-2"]) == 0
    assert "FAILED     recovery: node is survived: 37 of 400 predictions failed" in capsys.readouterr().out
    assert main(["--reports", str(tmp_path), "show", "20261123-000000-2", "--markdown"]) == 0
    assert "| recovery | 0 | 1 | 0 | 0 |" in capsys.readouterr().out


def test_a_run_that_is_not_there_is_wrong_use(tmp_path: Path, capsys: Any) -> None:
    assert main(["--reports", str(tmp_path), "show", "nobody"]) == 2
    assert "there is no run nobody" in capsys.readouterr().err


@pytest.mark.parametrize(("unbuffered", "code"), [("1", 141), ("", 0)])
def test_a_reader_who_has_seen_enough_ends_the_list_without_a_traceback(
    tmp_path: Path, unbuffered: str, code: int
) -> None:
    """In the middle of its work a command is ended by it; one that is done keeps its exit code."""
    green(tmp_path, "20261122-000000-1")
    command = [sys.executable, "-m", "shakedown", "--reports", str(tmp_path), "show", "20261122-000000-1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, cwd=PROJECT, env=environment, stdout=writer, stderr=-1, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("held", ["[1]", '{"inputs": 1}', '{"instances": ["a"]}', "not: json"])
def test_an_input_that_holds_no_instances_is_wrong_use_and_no_verdict(tmp_path: Path, capsys: Any, held: str) -> None:
    (tmp_path / "in.json").write_text(held)
    asked = ["check", "http://127.0.0.1:1", "--model", "digits", "--input"]
    assert main([*asked, str(tmp_path / "in.json")]) == 2
    assert f'--input {tmp_path}/in.json: holds no {{"instances": [...]}} of numbers' in capsys.readouterr().err
    assert main([*asked, str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"shakedown: --input {tmp_path}/nowhere: No such file or directory\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("history --last 0", "0: name a whole number above 0"),
        ("check http://127.0.0.1:1 --model m --within -1", "-1: name a number above 0"),
        ("check http://127.0.0.1:1 --model m --header a", "a: name both, as in NAME=VALUE"),
        ("gate latest --manifests-digest a --profile b", "b: name one of smoke, acceptance, conformance"),
    ],
)
def test_an_impossible_value_is_told_with_what_is_possible(capsys: Any, command: str, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_port_that_speaks_no_http_is_told_as_such(capsys: Any) -> None:
    def answer() -> None:
        taken, _ = door.accept()
        with taken:
            taken.recv(65536)  # what is closed with words unread is reset, and the answer with it
            taken.sendall(bytes(24))

    with socket.create_server(("127.0.0.1", 0)) as door:
        answering = threading.Thread(target=answer)
        answering.start()
        assert main(["check", f"http://127.0.0.1:{door.getsockname()[1]}", "--model", "m"]) == 1
        answering.join()
    assert "speaks no HTTP; for a gRPC port name grpc://HOST:PORT" in capsys.readouterr().out


def test_diff_names_what_changed_and_says_so_by_its_exit_code(tmp_path: Path, capsys: Any) -> None:
    green(tmp_path, "20261122-000000-1")
    green(tmp_path, "20261122-000001-1", Outcome.FAILED)
    assert main(["--reports", str(tmp_path), "diff", "20261122-000000-1", "20261122-000001-1"]) == 1
    assert "passed -> failed: recovery: node is survived: broken" in capsys.readouterr().out
    assert main(["--reports", str(tmp_path), "diff", "20261122-000000-1", "20261122-000000-1"]) == 0


def test_history_names_the_flaky_promise_and_no_other(tmp_path: Path, capsys: Any) -> None:
    for turn, outcome in enumerate((Outcome.PASSED, Outcome.FAILED, Outcome.PASSED)):
        green(tmp_path, f"20261122-00000{turn}-1", outcome)
    green(tmp_path, "20261122-000003-1", Outcome.FAILED, patches=["break.yaml"])
    assert main(["--reports", str(tmp_path), "history"]) == 0
    shown = capsys.readouterr().out
    assert ".F." in shown
    assert shown.endswith("flaky, on the same manifests: node is survived\n")


def test_gate_allows_only_what_was_judged_and_proven(tmp_path: Path, capsys: Any) -> None:
    green(tmp_path, "20261122-000000-1", images={"a/b:1": "sha256:1"}, models={"digits": "sha256:2"})
    green(tmp_path, "20261122-000001-1", Outcome.FAILED)
    green(tmp_path, "20261122-000002-1", patches=["break.yaml"])
    gate = ["--reports", str(tmp_path), "gate"]
    right = ["20261122-000000-1", "--manifests-digest", DIGEST]
    assert main([*gate, *right, "--image", "a/b:1=sha256:1", "--model", "digits=sha256:2"]) == 0
    assert "allowed" in capsys.readouterr().out
    for refused in (
        ["20261122-000000-1", "--manifests-digest", "sha256:other"],
        [*right, "--image", "a/b:1=sha256:other"],
        [*right, "--model", "unknown=sha256:2"],
        ["20261122-000001-1", "--manifests-digest", DIGEST],
        ["20261122-000002-1", "--manifests-digest", DIGEST],
    ):
        assert main([*gate, *refused]) == 1, refused
        assert "refused: " in capsys.readouterr().out


def test_gate_says_in_one_line_why_each_promise_was_not_proven(tmp_path: Path, capsys: Any) -> None:
    lay(tmp_path, "20261123-000000-2")
    assert main(["--reports", str(tmp_path), "gate", "20261123-000000-2", "--manifests-digest", DIGEST]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert "NOT JUDGED canary: canary gets its share: only 211 answers" in shown
    assert "FAILED     recovery: node is survived: 37 of 400 predictions failed; see retry.yaml" in shown
    assert not [line for line in shown if "rule holds" in line], "what is proven needs no reason"


@pytest.mark.parametrize(
    ("less", "words"),
    [
        ({"exit_code": 6}, "is not green: it ended with exit code 6"),
        ({"exit_code": 2, "ended_early": "no engine"}, "is not green: it ended with exit code 2: no engine"),
        ({"profile": "smoke"}, "asked profile smoke, the release needs acceptance"),
        (
            {"narrowed": ["suites/health", "keyword=seal"]},
            "asked less than its profile does: suites/health keyword=seal",
        ),
        ({"schema_version": 2}, "doesn't say whether all of its profile was asked"),
        ({"schema_version": 99}, "is of a newer Shakedown (schema 99, known is "),
        ({"promises": []}, "contradicts itself: exit code 0, and its promises come to 6"),
    ],
)
def test_gate_takes_green_for_no_more_than_was_asked(
    tmp_path: Path, capsys: Any, less: dict[str, Any], words: str
) -> None:
    green(tmp_path, "20261122-000000-1")
    made = bundle.load(tmp_path / "20261122-000000-1")
    bundle.write(tmp_path / "20261122-000000-1", made.model_copy(update=less))
    asked = ["--reports", str(tmp_path), "gate", "20261122-000000-1", "--manifests-digest", DIGEST]
    assert main(asked) == 6
    assert f"refused: run 20261122-000000-1 {words}" in capsys.readouterr().out
    assert main([*asked, "--profile", "smoke"]) == (0 if "profile" in less else 6)


def test_gate_refuses_a_profile_that_it_does_not_know_and_tells_of_values_that_were_adjusted(
    tmp_path: Path, capsys: Any
) -> None:
    green(tmp_path, "20261122-000000-1")
    made = bundle.load(tmp_path / "20261122-000000-1")
    other = made.model_copy(update={"profile": "quick", "adjusted": {"objectives.latency_p99": 60.0}})
    bundle.write(tmp_path / "20261122-000000-1", other)
    assert main(["--reports", str(tmp_path), "gate", "20261122-000000-1", "--manifests-digest", DIGEST]) == 6
    shown = capsys.readouterr().out
    assert "asked profile quick, which nobody knows here" in shown
    assert "adjusted: objectives.latency_p99 is 60 for this run" in shown


def test_a_verdict_is_never_another_file_than_the_one_that_is_named(tmp_path: Path, capsys: Any) -> None:
    green(tmp_path, "20261122-000000-1")
    folder = tmp_path / "20261122-000000-1"
    assert main(["gate", str(folder / "verdict.json"), "--manifests-digest", DIGEST]) == 0
    assert main(["gate", str(folder / "candidate.json"), "--manifests-digest", DIGEST]) == 2
    assert "there is no run" in capsys.readouterr().err


def test_whoever_stops_reading_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release goes on to its end, or to the end of its undoing, when its log is gone."""

    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", Gone())
    tell("FAILED", "why")
    Narrator("release")(Waiting("a roll-out", "2 of 3", 20, 5))


def test_digest_of_a_rendered_file_is_the_one_that_a_verdict_holds(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "all.yaml"
    file.write_text("kind: A\nmetadata: {name: x}\n---\nmetadata: {name: y}\nkind: B\n")
    assert main(["digest", str(file)]) == 0
    first = capsys.readouterr().out
    file.write_text("metadata:\n  name: x\nkind: A\n---\n---\nkind: B\nmetadata:\n  name: y\n")
    assert main(["digest", str(file)]) == 0
    assert capsys.readouterr().out == first
    file.write_text("---\n")
    assert main(["digest", str(file)]) == 2


def test_published_schema_is_the_models(capsys: Any) -> None:
    main(["schema"])
    assert (PROJECT / "docs" / "verdict.schema.json").read_text() == capsys.readouterr().out


class Server(ThreadingHTTPServer):
    """Answers like a model server; what it says is changed by the tests."""

    status: dict[str, Any] = {"model_version_status": [{"version": "2", "state": "AVAILABLE"}]}  # noqa: RUF012
    predictions = "[[0.5, 0.5]]"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.headers: list[str | None] = []  # the tester's, of each request


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        signature = {"inputs": {"image": {"tensor_shape": {"dim": [{"size": "-1"}, {"size": "4"}]}}}}
        metadata = {"metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}}
        self.say(json.dumps(metadata if self.path.endswith("metadata") else self.server.status))

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked == {"inputs": {"image": [[0.0] * 4]}}
        self.say(f'{{"outputs": {self.server.predictions}}}')

    def say(self, text: str) -> None:
        assert isinstance(self.server, Server)
        self.server.headers.append(self.headers.get("x-canary"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: Server, *options: str) -> int:
    return main(["check", f"http://127.0.0.1:{server.server_port}", "--model", "m", *options])


def test_check_says_state_version_prediction_and_latency(server: Server, capsys: Any) -> None:
    assert ask(server, "--within", "5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "state"],
        ["ok", "version"],
        ["ok", "prediction"],
        ["ok", "latency"],
    ]


def test_check_sends_a_header_with_each_request(server: Server) -> None:
    assert ask(server, "--within", "5", "--header", "x-canary=1") == 0
    assert len(server.headers) > 10
    assert set(server.headers) == {"1"}
    assert ask(server, "--within", "5") == 0
    assert server.headers[-1] is None


class Listener(grpc.GenericRpcHandler):
    """Serves no method, and keeps each call's metadata."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []

    def service(self, handler_call_details: Any) -> None:
        self.seen.append(dict(handler_call_details.invocation_metadata))


def test_check_sends_a_header_over_grpc_too_from_its_first_question_on(capsys: Any) -> None:
    served, listener = grpc.server(ThreadPoolExecutor(1)), Listener()
    served.add_generic_rpc_handlers([listener])
    port = served.add_insecure_port("127.0.0.1:0")
    served.start()
    assert main(["check", f"grpc://127.0.0.1:{port}", "--model", "m", "--header", "x-canary=1"]) == 1
    served.stop(0).wait()
    assert "FAILED state      UNIMPLEMENTED" in capsys.readouterr().out
    assert [each.get("x-canary") for each in listener.seen] == ["1"]


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"status": {"model_version_status": [{"version": "2", "state": "END"}]}}, [], "FAILED state"),
        ({"status": {"model_version": "2"}}, [], "FAILED state      KeyError: 'model_version_status'"),
        ({}, ["--version", "3"], "FAILED version    3 is not AVAILABLE; serving: [2]"),
        ({"predictions": "[[NaN]]"}, [], "FAILED prediction the prediction holds NaN or infinity"),
        ({"predictions": "[]"}, [], "FAILED prediction the prediction holds nothing"),
        ({}, ["--within", "0.000001"], "FAILED latency"),
    ],
)
def test_check_is_not_fooled_by_http_200(
    server: Server, capsys: Any, change: dict[str, Any], options: list[str], said: str
) -> None:
    vars(server).update(change)
    assert ask(server, *options) == 1
    assert said in capsys.readouterr().out


def test_check_of_an_endpoint_that_nobody_serves_fails_over_rest_and_grpc(server: Server, capsys: Any) -> None:
    port = server.server_port
    server.shutdown()
    server.server_close()
    for scheme in ("http", "grpc"):
        assert main(["check", f"{scheme}://127.0.0.1:{port}", "--model", "m"]) == 1
        said = capsys.readouterr().out
        assert said.startswith("FAILED state")
        assert "Connection refused" in said
    assert main(["check", "127.0.0.1:1", "--model", "m"]) == 2
