"""Deliberate breaks: a suite's own test, asked of servers that are wrong in one way, must say what is wrong.

The servers are the project's own; what breaks them stands before them or is put into their model store, never in them.
"""

import json
import runpy
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from model_server import slim

slim.install()  # the protos alone: this process needs no TensorFlow

from models import lite  # noqa: E402
from models.build import bundle  # noqa: E402
from models.golden import TOLERANCE, Golden  # noqa: E402
from shakedown.oracle import Oracle  # noqa: E402
from shakedown.serving import REQUEST_S, Endpoint  # noqa: E402
from shakedown.settings import Deployment, Objectives  # noqa: E402
from tests.model_server.client import Process  # noqa: E402

SUITE = Path(__file__).parents[2] / "suites" / "prediction"
NAMES = Deployment()


def suite_test(file: str, name: str) -> Callable[..., Any]:
    """A test of the prediction suite as a function."""
    found: Callable[..., Any] = runpy.run_path(str(SUITE / file))[name]
    return found


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    golden = Golden.load(bundle())
    return Oracle(golden.images, {v: known.probabilities for v, known in golden.versions.items()}, TOLERANCE)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Endpoint]]:
    """A good server, one of version 1, and one whose version 2 has its output labels turned by one."""
    folder = tmp_path_factory.mktemp("stores")
    sources = {"good": bundle() / "digits" / "2", "old": bundle() / "digits" / "1"}
    stores = {**sources, "permuted": bundle() / "spoiled" / "permuted"}
    for name, source in stores.items():
        shutil.copytree(source, folder / name / ("1" if name == "old" else "2"))
    flags = ("--model_name=digits", "--enable_batching=true")
    started = {name: Process(folder, *flags, f"--model_base_path={folder / name}") for name in stores}
    try:
        yield {name: endpoint_of(name, process) for name, process in started.items()}
    finally:
        for process in started.values():
            process.kill()


def endpoint_of(name: str, process: Process) -> Endpoint:
    at = process.ready().address
    return Endpoint(name, f"http://{at.host}:{at.rest}", f"{at.host}:{at.grpc}")


def heard() -> tuple[list[str], Callable[[str], None]]:
    """Evidence that was recorded, and what records it."""
    seen: list[str] = []
    return seen, seen.append


@pytest.fixture
def forgetful(servers: dict[str, Endpoint]) -> Iterator[Endpoint]:
    """The good server behind a proxy that loses the last row of every batch over REST."""

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = requests.post(f"{servers['good'].rest}{self.path}", data=body, timeout=REQUEST_S)
            told: dict[str, Any] = answer.json()
            rows = told.get("predictions", [])
            text = json.dumps({**told, "predictions": rows[:-1] if len(rows) > 1 else rows}).encode()
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server has it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield replace(servers["good"], name="forgetful", rest=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_the_same_tests_are_green_on_a_good_server(servers: dict[str, Endpoint], oracle: Oracle) -> None:
    """Without the break each of them passes: it is the break that they see."""
    seen, evidence = heard()
    good = {"a": servers["good"], "b": servers["good"]}
    for protocol in ("rest", "grpc"):
        suite_test("test_golden.py", f"test_every_replica_answers_the_golden_images_over_{protocol}")(
            good, NAMES, oracle, 2, evidence
        )
    suite_test("test_golden.py", "test_replicas_answer_alike")(good, NAMES, oracle, evidence)
    suite_test("test_formats.py", "test_rest_and_grpc_answer_exactly_alike")(servers["good"], NAMES, oracle, evidence)
    suite_test("test_formats.py", "test_batch_and_single_answers_agree")(servers["good"], NAMES, oracle, evidence)
    assert len(seen) == 5


def test_one_replica_with_permuted_output_labels_is_named(servers: dict[str, Endpoint], oracle: Oracle) -> None:
    asked = suite_test("test_golden.py", "test_every_replica_answers_the_golden_images_over_rest")
    replicas = {"one": servers["good"], "two": servers["permuted"]}
    with pytest.raises(AssertionError) as failed:
        asked(replicas, NAMES, oracle, 2, heard()[1])
    told = str(failed.value)
    assert told.startswith("replica two: 64 of 64 answers are not version 2's")
    assert "they are version 2's probabilities under other labels" in told


def test_a_replica_unlike_the_others_is_named(servers: dict[str, Endpoint], oracle: Oracle) -> None:
    asked = suite_test("test_golden.py", "test_replicas_answer_alike")
    with pytest.raises(AssertionError, match=r"replicas answer otherwise than one, by as much as \{'two': 0\."):
        asked({"one": servers["good"], "two": servers["permuted"]}, NAMES, oracle, heard()[1])


def test_rest_and_grpc_of_different_versions_are_named(servers: dict[str, Endpoint], oracle: Oracle) -> None:
    asked = suite_test("test_formats.py", "test_rest_and_grpc_answer_exactly_alike")
    split = replace(servers["good"], grpc=servers["old"].grpc)  # as a Service does whose ports select different pods
    with pytest.raises(AssertionError, match="REST answers as version 2 and gRPC as version 1 of digits"):
        asked(split, NAMES, oracle, heard()[1])


def test_a_batch_path_that_drops_the_last_row_is_told(forgetful: Endpoint, oracle: Oracle) -> None:
    asked = suite_test("test_formats.py", "test_batch_and_single_answers_agree")
    with pytest.raises(AssertionError, match="32 images sent together got 31 answers"):
        asked(forgetful, NAMES, oracle, heard()[1])


def test_a_model_quantised_with_a_wrong_scale_is_told() -> None:
    asked = suite_test("test_lite.py", "test_converted_model_answers_as_the_saved_model_does")
    spoiled = {"int8.tflite": lite.judgements()["wrong-scale.tflite"]}
    with pytest.raises(AssertionError, match="was it calibrated on images scaled as clients send them"):
        asked(spoiled, Objectives(), heard()[1], "int8.tflite")


def test_a_missing_warm_up_file_is_told() -> None:
    """Of the figures alone; on a cluster the live mutant `warm-up-file-lost` is judged by the same words."""
    judged = suite_test("test_warm_up.py", "judged")
    assert judged(0.010, 0.050, 0.012).startswith("first call 50.0 ms cold, 12.0 ms warmed up")
    with pytest.raises(AssertionError, match=r"is assets\.extra/tf_serving_warmup_requests there"):
        judged(0.010, 0.050, 0.048)
