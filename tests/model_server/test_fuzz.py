"""Whatever a client sends, the server answers in time, with no 5xx that the tables don't call for, and lives on.

`--fuzz-requests 20000` sends that many in all, half of them over each protocol.
"""

import json
import time
from collections import Counter

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2

from tests.model_server.client import Client, floats

LONGEST_S = 20.0
# 4xx, and the two that the tables have for requests that no server could answer
REST_CODES = {200, 400, 404, 413, 501}
GRPC_CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"}
PARSE_FAILURE = "INTERNAL"  # bytes that are no message

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.just({"b64": "AA=="})
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.sampled_from(["a", "b", "x", "b64", "n"]), inner, max_size=3)
    ),
    max_leaves=20,
)
signatures = st.sampled_from(["serving_default", "scalar", "double", "same", "echo", "classify_x_to_y", "", "s"])
keys = st.sampled_from(["instances", "inputs", "examples", "context", "other"])
documents = st.builds(
    lambda body, name: {**body, "signature_name": name}, st.dictionaries(keys, values, max_size=2), signatures
)


def deep(count: int, opening: str) -> str:
    return '{"instances": ' + opening * count


texts = st.one_of(
    documents.map(json.dumps),
    st.builds(lambda document, cut: json.dumps(document)[:cut], documents, st.integers(0, 60)),
    st.builds(deep, st.integers(1, 20_000), st.sampled_from(["[", '{"a":', "[[1],"])),
    st.builds(lambda count: '{"instances": ' + "[" * count + "]" * count + "}", st.integers(1, 2_000)),
    st.from_regex(r'\{"instances": ?\[-?[0-9]{1,40}(\.[0-9]{0,5})?([eE][-+]?[0-9]{1,5})?\]\}', fullmatch=True),
    st.text(max_size=40),
)
bodies = st.one_of(texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=60))
paths = st.builds(
    lambda model, version, method: f"/v1/models/{model}{version}:{method}",
    st.sampled_from(["linear", "mixed", "text", "nobody"]),
    st.sampled_from(["", "/versions/1", "/versions/2", "/labels/x"]),
    st.sampled_from(["predict", "classify", "regress"]),
)
sizes = st.lists(st.one_of(st.integers(-2, 6), st.sampled_from([2**31, 2**40, 2**62])), max_size=4)


@st.composite
def tensors(draw: st.DrawFn) -> tensor_pb2.TensorProto:
    """Any type with any shape and any values, rarely ones that fit each other."""
    proto = tensor_pb2.TensorProto(dtype=draw(st.one_of(st.integers(0, 23), st.integers(100, 130))))
    for size in draw(sizes):
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = draw(st.binary(max_size=24))
    proto.float_val.extend(draw(st.lists(st.floats(width=32), max_size=4)))
    proto.string_val.extend(draw(st.lists(st.binary(max_size=4), max_size=3)))
    proto.int_val.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3)))
    proto.half_val.extend(draw(st.lists(st.integers(-1, 2**17), max_size=3)))
    proto.int64_val.extend(draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3)))
    return proto


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A predict request, sometimes with bytes of it changed, cut off or added."""
    request = predict_pb2.PredictRequest(output_filter=draw(st.lists(st.sampled_from(["y", "sum", "q"]), max_size=2)))
    request.model_spec.name = draw(st.sampled_from(["linear", "mixed", "text", "nobody", ""]))
    request.model_spec.signature_name = draw(signatures)
    for name in draw(st.sets(st.sampled_from(["x", "a", "b", "n", "words", "inputs"]), max_size=2)):
        request.inputs[name].CopyFrom(draw(tensors()))
    body: bytes = request.SerializeToString()
    if draw(st.booleans()):
        return body
    place = draw(st.integers(0, len(body)))
    return body[:place] + draw(st.binary(max_size=6)) + body[place + draw(st.integers(0, 8)) :]


def shaped(*sizes: int) -> bytes:
    """A request for a tensor of this shape, without values."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "linear"
    request.inputs["x"].dtype = types_pb2.DT_FLOAT
    for size in sizes:
        request.inputs["x"].tensor_shape.dim.add(size=size)
    body: bytes = request.SerializeToString()
    return body


@pytest.fixture(scope="module")
def half(request: pytest.FixtureRequest) -> int:
    """How many requests each protocol's test sends."""
    return int(request.config.getoption("fuzz_requests", default=600)) // 2


def relaxed(count: int) -> settings:
    """As many examples as asked for, the same ones each time, without a limit on how long they take to draw."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=checks)


def test_no_rest_request_crashes_hangs_or_fails_the_server(client: Client, half: int) -> None:
    seen: Counter[int] = Counter()

    @relaxed(half)
    @given(paths, bodies)
    def send(path: str, body: bytes) -> None:
        started = time.monotonic()
        found = client.post(path, body)
        seen[found.status_code] += 1
        assert time.monotonic() - started < LONGEST_S
        assert found.status_code in REST_CODES, found.text
        if found.status_code != 200:
            json.loads(found.content.decode("utf-8", "replace"))["error"]

    send()
    assert sum(seen.values()) >= half
    assert seen[400]
    assert client.predict("linear", {"instances": [[1.0]]}).json() == {"predictions": [[2.5]]}


def test_no_grpc_request_crashes_hangs_or_fails_the_server(client: Client, half: int) -> None:
    seen: Counter[str] = Counter()
    methods = ["Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"]

    @relaxed(half)
    @given(st.sampled_from(methods), st.one_of(requests(), requests(), st.binary(max_size=80)))
    @example("Predict", shaped(0, 2**62))
    def send(method: str, body: bytes) -> None:
        code, text = "OK", ""
        try:
            client.raw(method)(body, timeout=LONGEST_S)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details() or ""
        seen[code] += 1
        assert code in GRPC_CODES or (code == PARSE_FAILURE and not text), f"{code}: {text}"

    send()
    assert sum(seen.values()) >= half
    assert seen["INVALID_ARGUMENT"]
    np.testing.assert_array_equal(client.grpc_predict("linear", {"x": floats([1.0])}).outputs["y"].float_val, [2.5])
