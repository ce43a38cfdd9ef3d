"""The gRPC tables, row by row."""

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.model_server.client import Client, floats, grpc_error, predict_request

PREDICT, CLASSIFY, REGRESS = (f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))


def examples(*values: float) -> input_pb2.Input:
    found = input_pb2.Input()
    for value in values:
        example = found.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return found


def broken_tensor() -> predict_pb2.PredictRequest:
    request = predict_request("linear", {"x": floats([1.0])})
    request.inputs["x"].tensor_content = b"123"
    return request


PREDICT_ERRORS = {
    "unknown model": (
        predict_request("nobody", {"x": floats([1.0])}),
        ("NOT_FOUND", "Servable not found for request: Latest(nobody)"),
    ),
    "unknown version": (
        predict_request("linear", {"x": floats([1.0])}, version=99),
        ("NOT_FOUND", "Servable not found for request: Specific(linear, 99)"),
    ),
    "no spec": (predict_pb2.PredictRequest(), ("INVALID_ARGUMENT", "Missing ModelSpec")),
    "no name": (
        predict_request("", {"x": floats([1.0])}, signature="s"),
        ("INVALID_ARGUMENT", "ModelSpec has no name specified."),
    ),
    "unknown signature": (
        predict_request("linear", {"x": floats([1.0])}, signature="s"),
        ("FAILED_PRECONDITION", 'Serving signature key "s" not found.'),
    ),
    "no input": (
        predict_request("linear", {}),
        (
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
    ),
    "broken tensor": (broken_tensor(), ("INVALID_ARGUMENT", "tensor parsing error: x")),
    "unknown output": (
        predict_request("linear", {"x": floats([1.0])}, outputs=("q",)),
        (
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: q Outputs expected to be in the set {y}.",
        ),
    ),
    "output twice": (
        predict_request("linear", {"x": floats([1.0])}, outputs=("y", "y")),
        ("INVALID_ARGUMENT", "duplicate output tensor alias: y"),
    ),
}


@pytest.mark.parametrize("row", PREDICT_ERRORS)
def test_a_wrong_predict_request_is_refused_with_the_tables_code_and_text(client: Client, row: str) -> None:
    request, expected = PREDICT_ERRORS[row]
    assert grpc_error(client.prediction.Predict, request) == expected


def test_a_tensor_of_the_wrong_type_is_the_clients_error(client: Client) -> None:
    code, text = grpc_error(client.prediction.Predict, predict_request("linear", {"x": np.array([[1]], np.int32)}))
    assert code == "INVALID_ARGUMENT"
    assert "int32" in text


def test_a_prediction_names_model_version_and_signature_and_uses_typed_fields(client: Client) -> None:
    found = client.grpc_predict("linear", {"x": floats([1.0], [2.0])})
    assert (found.model_spec.name, found.model_spec.version.value) == ("linear", 1)
    assert found.model_spec.signature_name == "serving_default"
    assert list(found.outputs["y"].float_val) == [2.5, 3.0]
    assert [dim.size for dim in found.outputs["y"].tensor_shape.dim] == [2, 1]
    assert not found.outputs["y"].tensor_content


def test_one_value_stands_for_a_whole_tensor(client: Client) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "linear"
    repeated = tensor_pb2.TensorProto(dtype=1, float_val=[4.0])
    repeated.tensor_shape.dim.add(size=3)
    repeated.tensor_shape.dim.add(size=1)
    request.inputs["x"].CopyFrom(repeated)
    assert list(client.prediction.Predict(request).outputs["y"].float_val) == [4.0, 4.0, 4.0]


def test_the_output_filter_leaves_the_others_out(client: Client) -> None:
    inputs = {"a": floats([1.0, 2.0]), "b": floats([0.5])}
    assert set(client.grpc_predict("mixed", inputs).outputs) == {"sum", "total"}
    assert set(client.grpc_predict("mixed", inputs, outputs=("total",)).outputs) == {"total"}


def test_rest_and_grpc_answer_the_same_floats(client: Client) -> None:
    values = np.random.default_rng(1).normal(size=(50, 1)).astype(np.float32)
    over_grpc = list(client.grpc_predict("linear", {"x": values}).outputs["y"].float_val)
    over_rest = client.predict("linear", {"instances": values.tolist()}).json()["predictions"]
    assert np.array(over_rest, np.float32).ravel().tolist() == over_grpc


def test_an_error_text_beyond_1024_characters_is_cut(client: Client) -> None:
    text = grpc_error(client.prediction.Predict, predict_request("n" * 2000, {}))[1]
    assert len(text) == 1024
    assert text.endswith("n...TRUNCATED")


def test_bytes_that_are_no_request_fail_and_the_server_lives(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.raw("Predict")(b"\xff\xff\xff", timeout=10)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert client.grpc_predict("linear", {"x": floats([1.0])})


def test_an_unknown_method_is_unimplemented(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.raw("Guess")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def classification(signature: str, *values: float) -> classification_pb2.ClassificationRequest:
    request = classification_pb2.ClassificationRequest(input=examples(*values))
    request.model_spec.name, request.model_spec.signature_name = "linear", signature
    return request


def regression(signature: str, *values: float) -> regression_pb2.RegressionRequest:
    request = regression_pb2.RegressionRequest(input=examples(*values))
    request.model_spec.name, request.model_spec.signature_name = "linear", signature
    return request


def test_classify_answers_labels_and_scores(client: Client) -> None:
    found = client.prediction.Classify(classification("classify_x_to_y", 20.0, 10.0)).result
    assert [[(one.label, one.score) for one in row.classes] for row in found.classifications] == [
        [("high", 12.0)],
        [("high", 7.0)],
    ]


def test_regress_answers_one_value_per_example(client: Client) -> None:
    found = client.prediction.Regress(regression("regress_x_to_y", 80.0, 2.0))
    assert [one.value for one in found.result.regressions] == [42.0, 3.0]
    assert found.model_spec.signature_name == "regress_x_to_y"


def test_classify_and_regress_refuse_what_is_not_theirs(client: Client) -> None:
    unknown = ("INVALID_ARGUMENT", "No signature was found with the name: s")
    assert grpc_error(client.prediction.Classify, classification("s", 1.0)) == unknown
    assert grpc_error(client.prediction.Regress, regression("s", 1.0)) == unknown
    empty = ("INVALID_ARGUMENT", "Input is empty.")
    assert grpc_error(client.prediction.Classify, classification("classify_x_to_y")) == empty
    assert grpc_error(client.prediction.Regress, regression("regress_x_to_y")) == empty


def multi(*tasks: tuple[str, str]) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest(input=examples(80.0))
    for signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "linear", signature
    return request


def test_multi_inference_answers_each_task(client: Client) -> None:
    tasks = (("regress_x_to_y", REGRESS), ("classify_x_to_y", CLASSIFY))
    found = client.prediction.MultiInference(multi(*tasks)).results
    assert found[0].regression_result.regressions[0].value == 42.0
    assert found[1].classification_result.classifications[0].classes[0].score == 42.0


MULTI_ERRORS = {
    "twice": (
        multi(("regress_x_to_y", REGRESS), ("regress_x_to_y", REGRESS)),
        ("INVALID_ARGUMENT", "Duplicate evaluation of signature: regress_x_to_y"),
    ),
    "unknown": (multi(("s", REGRESS)), ("INVALID_ARGUMENT", "Requested signature not found in model graph: s")),
    "method": (
        multi(("serving_default", PREDICT)),
        ("UNIMPLEMENTED", f"Unsupported signature method_name: {PREDICT}"),
    ),
}


@pytest.mark.parametrize("row", MULTI_ERRORS)
def test_a_wrong_multi_inference_is_refused(client: Client, row: str) -> None:
    request, expected = MULTI_ERRORS[row]
    assert grpc_error(client.prediction.MultiInference, request) == expected


def metadata_request(name: str, *fields: str) -> get_model_metadata_pb2.GetModelMetadataRequest:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    return request


METADATA_ERRORS = {
    "no field": (metadata_request("linear"), "GetModelMetadataRequest must specify at least one metadata_field"),
    "other field": (metadata_request("linear", "z"), "Metadata field z is not supported"),
    "no spec": (get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]), "Missing ModelSpec"),
}


@pytest.mark.parametrize("row", METADATA_ERRORS)
def test_a_wrong_metadata_request_is_refused(client: Client, row: str) -> None:
    request, text = METADATA_ERRORS[row]
    assert grpc_error(client.prediction.GetModelMetadata, request) == ("INVALID_ARGUMENT", text)


def test_metadata_over_rest_is_the_grpc_answer_as_json(client: Client) -> None:
    found = client.prediction.GetModelMetadata(metadata_request("linear", "signature_def"))
    defs = get_model_metadata_pb2.SignatureDefMap()
    assert found.metadata["signature_def"].Unpack(defs)
    expected = json_format.MessageToDict(
        defs, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert client.get("/v1/models/linear/metadata").json()["metadata"]["signature_def"] == expected


def test_the_status_is_that_of_rest(client: Client) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "linear"
    found = client.models.GetModelStatus(request).model_version_status
    assert [(one.version, one.state) for one in found] == [(1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)]
    request.model_spec.name = "nobody"
    expected = ("NOT_FOUND", "Could not find any versions of model nobody")
    assert grpc_error(client.models.GetModelStatus, request) == expected
    missing = get_model_status_pb2.GetModelStatusRequest()
    assert grpc_error(client.models.GetModelStatus, missing) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_a_reload_of_no_list_is_refused(client: Client) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    assert grpc_error(client.models.HandleReloadConfigRequest, request)[0] == "INVALID_ARGUMENT"
