"""The error contract: what is asked wrongly is refused with the code and the text that clients rely on."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from fixtures.options import SETTINGS
from fixtures.verdicts import Evidence
from shakedown.backends.wire import Wire
from shakedown.grpc_client import Refused, prediction_request, send, status_grpc
from shakedown.oracle import Oracle
from shakedown.protos import predict_pb2, types_pb2
from shakedown.serving import Endpoint
from shakedown.settings import Backend, Deployment, Settings

pytestmark = [pytest.mark.smoke, pytest.mark.needs("whole_door")]

GOOD = [0.0] * 784
# by name: path, body, code, and what the text must hold
Cases: TypeAlias = dict[str, tuple[str, bytes | dict[str, Any], int, str]]
TENSORFLOW: Cases = {
    "unknown model": (
        "/v1/models/nobody:predict",
        {"instances": [GOOD]},
        404,
        "Servable not found for request: Latest(nobody)",
    ),
    "unknown version": (
        "/v1/models/digits/versions/99:predict",
        {"instances": [GOOD]},
        404,
        "Servable not found for request: Specific(digits, 99)",
    ),
    "unknown label": (
        "/v1/models/digits/labels/x:predict",
        {"instances": [GOOD]},
        400,
        "Unrecognized servable version label: x",
    ),
    "unknown signature": (
        "/v1/models/digits:predict",
        {"instances": [GOOD], "signature_name": "nothing"},
        400,
        'Serving signature name: "nothing" not found in signature def',
    ),
    "empty body": ("/v1/models/digits:predict", b"", 400, "JSON Parse error: The document is empty"),
    "malformed JSON": (
        "/v1/models/digits:predict",
        b'{"instances": [1,]}',
        400,
        "JSON Parse error: Invalid value. at offset: 17",
    ),
    "missing key": ("/v1/models/digits:predict", {"images": [GOOD]}, 400, "Missing 'inputs' or 'instances' key"),
    "wrong type": (
        "/v1/models/digits:predict",
        {"instances": [["x"] * 784]},
        400,
        'JSON Value: "x" Type: String is not of expected type: float',
    ),
    "base64 for a float": (
        "/v1/models/digits:predict",
        {"instances": [{"b64": "AAAA"}]},
        400,
        "is not of expected type: float",
    ),
    "rows of different lengths": (
        "/v1/models/digits:predict",
        {"instances": [GOOD, GOOD[:-1]]},
        400,
        "Expecting tensor size: 784 but got: 783",
    ),
    "wrong shape": ("/v1/models/digits:predict", {"instances": [GOOD[:100]]}, 400, "[1,100]"),
    "wrong path": ("/v1/models/digits/version/2:predict", {"instances": [GOOD]}, 400, "Malformed request: POST"),
}
DIGITS, NO_ROWS = "/predictions/digits", "no JSON with rows of numbers under 'instances': "
TORCHSERVE: Cases = {
    "unknown model": ("/predictions/nobody", {"instances": [GOOD]}, 404, "Model not found: nobody"),
    "unknown version": (f"{DIGITS}/99.0", {"instances": [GOOD]}, 404, "Model version: 99.0 does not exist"),
    "malformed JSON": (DIGITS, b'{"instances": [1,]}', 400, f"{NO_ROWS}JSONDecodeError"),
    "missing key": (DIGITS, {"images": [GOOD]}, 400, f"{NO_ROWS}KeyError"),
    "wrong type": (DIGITS, {"instances": [["x"] * 784]}, 400, f"{NO_ROWS}ValueError"),
    "rows of different lengths": (DIGITS, {"instances": [GOOD, GOOD[:-1]]}, 400, "784 numbers, one here has 783"),
    "wrong shape": (DIGITS, {"instances": [GOOD[:100]]}, 400, "784 numbers, one here has 100"),
}
REST: dict[Backend, Cases] = {Backend.TENSORFLOW: TENSORFLOW, Backend.TORCHSERVE: TORCHSERVE}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is asked wrongly over REST, in the words of the back end."""
    if "wrong" in metafunc.fixturenames:
        metafunc.parametrize("wrong", REST[metafunc.config.stash[SETTINGS].backend])


def test_wrong_rest_request_is_refused_with_its_code_and_text(
    one: Endpoint, gateway: Endpoint, settings_of_run: Settings, wire: Wire, evidence: Evidence, wrong: str
) -> None:
    """Over REST what is wrong gets its own code and text, from a server and unchanged through the front door."""
    path, body, code, text = REST[settings_of_run.backend][wrong]
    path, text = (words.replace("digits", settings_of_run.deployment.model) for words in (path, text))
    answers = [endpoint.post(path, body) for endpoint in (one, gateway)]
    for answer in answers:
        assert answer.status_code == code, f"HTTP {answer.status_code}, wanted {code}: {answer.text[:200]}"
        assert answer.headers["Content-Type"].startswith("application/json")
        assert text in wire.refusal(json.loads(answer.text))
    evidence(f"HTTP {code}: {wire.refusal(json.loads(answers[0].text))[:90]}")


@pytest.mark.asks_for("grpc", "status at the front door")
def test_status_of_an_unknown_model_is_not_found(one: Endpoint, gateway: Endpoint, evidence: Evidence) -> None:
    """The status of a model that there isn't is 404 with a text, not an empty success."""
    answers = [endpoint.get("/v1/models/nobody") for endpoint in (one, gateway)]
    assert [(a.status_code, a.json()["error"]) for a in answers] == [
        (404, "Could not find any versions of model nobody")
    ] * 2
    with pytest.raises(Refused) as refused:
        status_grpc(one, "nobody")
    assert refused.value.code == "NOT_FOUND"
    evidence("HTTP 404 and NOT_FOUND: Could not find any versions of model nobody")


Request: TypeAlias = predict_pb2.PredictRequest


def other_model(request: Request) -> None:
    request.model_spec.name = "nobody"


def other_version(request: Request) -> None:
    request.model_spec.version.value = 99


def other_signature(request: Request) -> None:
    request.model_spec.signature_name = "nothing"


def no_input(request: Request) -> None:
    del request.inputs["image"]


def other_input(request: Request) -> None:
    request.inputs["picture"].CopyFrom(request.inputs["image"])


def other_type(request: Request) -> None:
    request.inputs["image"].dtype = types_pb2.DT_DOUBLE
    request.inputs["image"].tensor_content = np.zeros(784).tobytes()


def other_shape(request: Request) -> None:
    request.inputs["image"].tensor_shape.dim[1].size = 100
    request.inputs["image"].tensor_content = np.zeros(100, dtype=np.float32).tobytes()


def other_output(request: Request) -> None:
    request.output_filter.append("nothing")


GRPC: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "unknown model": (other_model, "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
    "unknown version": (other_version, "NOT_FOUND", "Servable not found for request: Specific(digits, 99)"),
    "unknown signature": (other_signature, "FAILED_PRECONDITION", 'Serving signature key "nothing" not found.'),
    "missing input": (no_input, "INVALID_ARGUMENT", "Missing but required: {image}."),
    "unknown input": (other_input, "INVALID_ARGUMENT", "Sent extra: {picture}."),
    "wrong type": (other_type, "INVALID_ARGUMENT", "float"),
    "wrong shape": (other_shape, "INVALID_ARGUMENT", "[1,100]"),
    "unknown output": (
        other_output,
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: nothing Outputs expected to be in the set {probabilities}.",
    ),
}


@pytest.mark.asks_for("grpc")
@pytest.mark.parametrize("case", GRPC)
def test_wrong_grpc_request_is_refused_with_its_code_and_text(
    one: Endpoint, gateway: Endpoint, deployment: Deployment, oracle: Oracle, evidence: Evidence, case: str
) -> None:  # fmt: skip
    """Over gRPC what is wrong gets its own code and text, from a server and unchanged through the front door."""
    spoil, code, text = GRPC[case]
    text = text.replace("digits", deployment.model)
    request = prediction_request(deployment.model, oracle.images[:1])
    spoil(request)
    refusals = []
    for endpoint in (one, gateway):
        with pytest.raises(Refused) as refused:
            send(endpoint, request)
        refusals.append(refused.value)
    assert [refusal.code for refusal in refusals] == [code, code], f"wanted {code}, got {refusals}"
    assert text in refusals[0].text
    assert refusals[0].text == refusals[1].text
    evidence(str(refusals[0])[:120])
