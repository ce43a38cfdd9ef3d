"""The REST tables, row by row."""

import gzip
import json
import math

import pytest

from tests.model_server.client import Client, error_of


def value_error(where: str, text: str) -> str:
    return f"Failed to process element: {where} of 'instances' list. Error: INVALID_ARGUMENT: {text}"


PREDICT_ERRORS = {
    "empty body": ("linear", "", "JSON Parse error: The document is empty"),
    "malformed": ("linear", "instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
    "malformed inside": ("linear", '{"instances": [1,]}', "JSON Parse error: Invalid value. at offset: 17"),
    "cut off": ("linear", '{"instances": [1', "Missing a comma or ] after an array element. at offset: 16"),
    "not an object": ("linear", "[1]", "JSON Value: [\n    1\n] Is not object"),
    "signature name": ("linear", {"signature_name": 5}, "'signature_name' key must be a string value."),
    "no key": ("linear", {}, "Missing 'inputs' or 'instances' key"),
    "both keys": (
        "linear",
        {"inputs": [1], "instances": [1]},
        "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
    ),
    "not a list": ("linear", {"instances": 1}, "Expecting 'instances' to be an list/array"),
    "empty list": ("linear", {"instances": []}, "No values in 'instances' array"),
    "wrong type": (
        "linear",
        {"instances": ["x"]},
        value_error("0", 'JSON Value: "x" Type: String is not of expected type: float'),
    ),
    "ragged size": (
        "linear",
        {"instances": [[1.0, 2.0], [1.0]]},
        value_error("1", "Expecting tensor size: 2 but got: 1"),
    ),
    "ragged shape": (
        "linear",
        {"instances": [[[1.0], [2.0]], [[1.0, 2.0]]]},
        value_error("1", "Expecting shape [2,1] but got: [1,2]"),
    ),
    "missing in a row": ("mixed", {"instances": [{"a": [1.0, 2.0]}]}, "keys must be equal to: a,b"),
    "missing in columns": ("mixed", {"inputs": {"b": [[1.0]]}}, "Missing named input: a in 'inputs' object."),
    "plain list": (
        "mixed",
        {"instances": [[1.0, 2.0]]},
        "instances is a plain list, but expecting list of objects as multiple input tensors required",
    ),
    "unknown signature": (
        "linear",
        {"signature_name": "s", "instances": [1]},
        'Serving signature name: "s" not found in signature def',
    ),
    "scalar output": (
        "mixed",
        {"signature_name": "scalar", "instances": [1, 2]},
        "Tensor name: total has no shape information ",
    ),
    "lossy": ("linear", {"instances": [1e39]}, "Cannot convert JSON value: 1e+39 to float without loss of precision."),
    "bad base64": ("text", {"instances": [{"b64": "%"}]}, "Unable to base64 decode"),
    "fraction for int": (
        "mixed",
        {"signature_name": "double", "instances": [1.5]},
        value_error("0", "JSON Value: 1.5 Type: Number is not of expected type: int64"),
    ),
}


@pytest.mark.parametrize("row", PREDICT_ERRORS)
def test_a_wrong_predict_request_is_refused_with_the_tables_text(client: Client, row: str) -> None:
    model, body, text = PREDICT_ERRORS[row]
    code, found = error_of(client.predict(model, body))
    assert code == 400
    assert text in found


NOT_FOUND = {
    "/v1/models/nobody:predict": "Servable not found for request: Latest(nobody)",
    "/v1/models/linear/versions/99:predict": "Servable not found for request: Specific(linear, 99)",
}


@pytest.mark.parametrize("path", NOT_FOUND)
def test_an_unknown_model_or_version_is_not_found(client: Client, path: str) -> None:
    assert error_of(client.post(path, {"instances": [1.0]})) == (404, NOT_FOUND[path])


def test_the_body_is_parsed_before_the_model_is_looked_up(client: Client) -> None:
    assert error_of(client.predict("nobody", ""))[0] == 400


def test_an_unknown_label_is_refused(client: Client) -> None:
    found = error_of(client.post("/v1/models/linear/labels/x:predict", {"instances": [1.0]}))
    assert found == (400, "Unrecognized servable version label: x")


@pytest.mark.parametrize("path", ["/v1/models/foo:predict", "/v1/models/foo/version/50:predict", "/v1/foo"])
def test_a_wrong_path_or_method_is_malformed(client: Client, path: str) -> None:
    assert error_of(client.get(path)) == (400, f"Malformed request: GET {path}")


def test_a_version_that_fits_no_number_is_refused(client: Client) -> None:
    found = error_of(client.post("/v1/models/linear/versions/18446744073709551615:predict", {"instances": [1.0]}))
    assert found == (400, "Failed to convert version: 18446744073709551615 to numeric.")


GETS = {
    "/v1/models": (400, "Missing model name in request."),
    "/v1/models/nobody": (404, "Could not find any versions of model nobody"),
    "/v1/models/linear/versions/9": (404, "Could not find version 9 of model linear"),
}


@pytest.mark.parametrize("path", GETS)
def test_the_status_of_nothing_is_an_error(client: Client, path: str) -> None:
    assert error_of(client.get(path)) == GETS[path]


def test_outside_of_v1_there_is_a_plain_page(client: Client) -> None:
    found = client.get("/healthz")
    assert found.status_code == 404
    assert "json" not in found.headers["Content-Type"]


def test_the_path_is_read_without_regard_to_case(client: Client) -> None:
    assert client.get("/V1/Models/linear").status_code == 200


def test_rows_answer_predictions_on_one_line_and_the_name_is_left_out(client: Client) -> None:
    found = client.predict("linear", {"instances": [[1.0], [2.0]]})
    assert found.headers["Content-Type"].startswith("application/json")
    assert found.text == '{\n    "predictions": [[2.5], [3.0]\n    ]\n}'


def test_columns_answer_outputs(client: Client) -> None:
    found = client.predict("linear", {"inputs": [[1.0], [2.0]]})
    expected = (
        '{\n    "outputs": [\n        [\n            2.5\n        ],\n        [\n            3.0\n        ]\n    ]\n}'
    )
    assert found.text == expected


def test_several_outputs_are_named_in_each_row(client: Client) -> None:
    found = client.predict("mixed", {"instances": [{"a": [1.0, 2.0], "b": [0.5]}, {"a": [3.0, 4.0], "b": [1.5]}]})
    assert found.json() == {
        "predictions": [{"sum": [1.5, 2.5], "total": 3.0}, {"sum": [4.5, 5.5], "total": 7.0}],
    }


def test_several_inputs_and_outputs_by_column(client: Client) -> None:
    found = client.predict("mixed", {"inputs": {"a": [[1.0, 2.0]], "b": [[0.5]]}})
    assert found.json() == {"outputs": {"sum": [[1.5, 2.5]], "total": [3.0]}}


def test_an_output_without_dimensions_is_answered_by_column(client: Client) -> None:
    assert client.predict("mixed", {"signature_name": "scalar", "inputs": [1, 2]}).json() == {"outputs": 3}


def test_integers_and_booleans_print_as_such(client: Client) -> None:
    found = client.predict("mixed", {"signature_name": "double", "inputs": [3, -(2**40)]})
    assert found.json() == {"outputs": {"doubled": [6, -(2**41)], "even": [False, True]}}


PRINTED = {"0.2": "0.2", "1.0": "1.0", "0.1234567": "0.123456702", "9000000": "9e+06", "3e-05": "3e-05", "-0.0": "-0.0"}


@pytest.mark.parametrize("value", PRINTED)
def test_floats_print_at_six_digits_where_that_reads_back_else_at_nine(client: Client, value: str) -> None:
    found = client.predict("mixed", f'{{"signature_name": "same", "instances": [{value}]}}')
    assert found.text == f'{{\n    "predictions": [{PRINTED[value]}\n    ]\n}}'


def test_nan_and_infinity_pass_both_ways(client: Client) -> None:
    found = client.predict("mixed", '{"signature_name": "same", "instances": [NaN, Infinity, -Infinity, 1.5]}')
    assert "[NaN, Infinity, -Infinity, 1.5\n" in found.text
    values = json.loads(found.text)["predictions"]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 1.5]


def test_text_after_the_document_is_ignored(client: Client) -> None:
    assert client.predict("linear", '{"instances": [[1.0]]} and more').json() == {"predictions": [[2.5]]}


def test_bytes_go_in_as_base64_and_come_out_so_only_where_the_name_says_bytes(client: Client) -> None:
    found = client.predict("text", {"instances": ["abc", {"b64": "ZGVm"}]})
    assert found.json() == {
        "predictions": [
            {"joined_bytes": {"b64": "YWJj/w=="}, "upper": "ABC"},
            {"joined_bytes": {"b64": "ZGVm/w=="}, "upper": "DEF"},
        ],
    }


def test_text_keeps_what_is_not_ascii(client: Client) -> None:
    found = client.predict("text", {"signature_name": "echo", "instances": ['ä"\n\u0001é\U0001f600']})
    assert json.loads(found.content) == {"predictions": ['ä"\n\u0001é\U0001f600']}


def test_a_gzip_body_is_decoded(client: Client) -> None:
    body = gzip.compress(json.dumps({"instances": [[1.0]]}).encode())
    found = client.post("/v1/models/linear:predict", body, headers={"Content-Encoding": "gzip"})
    assert found.json() == {"predictions": [[2.5]]}


def test_classify_answers_labels_and_scores(client: Client) -> None:
    body = {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}, {"x": 10.0}]}
    found = client.post("/v1/models/linear:classify", body)
    assert found.text == '{\n    "results": [[["high", 12.0]], [["high", 7.0]]\n    ]\n}'


def test_classify_without_labels_answers_empty_ones(client: Client) -> None:
    body = {"signature_name": "classify_scores", "examples": [{"x": 20.0}]}
    assert client.post("/v1/models/linear:classify", body).json() == {"results": [[["", 12.0]]]}


def test_regress_answers_values_and_takes_a_context(client: Client) -> None:
    body = {"signature_name": "regress_x_to_y", "context": {"x": [80.0]}, "examples": [{"x2": 1.0}]}
    assert client.post("/v1/models/linear:regress", body).text == '{\n    "results": [42.0]\n}'


EXAMPLE_ERRORS = {
    "no examples": ({"signature_name": "regress_x_to_y"}, "key 'examples' is expected and was not found"),
    "not a list": ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
    "empty": ({"examples": []}, "'examples' value is an empty array"),
    "not an object": ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
    "null": ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
    "two kinds": ({"examples": [{"x": [1.0, "a"]}]}, "Unexpected element type in feature: x expecting type: float"),
    "unknown signature": (
        {"signature_name": "s", "examples": [{"x": 1.0}]},
        "No signature was found with the name: s",
    ),
    "other method": (
        {"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]},
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: tensorflow/serving/classify",
    ),
}


@pytest.mark.parametrize("row", EXAMPLE_ERRORS)
def test_a_wrong_regress_request_is_refused_with_its_text(client: Client, row: str) -> None:
    body, text = EXAMPLE_ERRORS[row]
    code, found = error_of(client.post("/v1/models/linear:regress", body))
    assert code == 400
    assert text in found


def test_the_status_names_version_state_and_code(client: Client) -> None:
    state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    expected = {"model_version_status": [state]}
    assert client.get("/v1/models/linear").json() == expected
    assert client.get("/v1/models/linear/versions/1").json() == expected
    assert client.get("/v1/models/linear/labels/anything").json() == expected


def test_the_metadata_names_every_signature(client: Client) -> None:
    found = client.get("/v1/models/linear/metadata").json()
    assert found["model_spec"] == {"name": "linear", "signature_name": "", "version": "1"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"
    assert signatures["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert {"regress_x_to_y", "classify_x_to_y"} <= set(signatures)


def test_a_graphs_own_error_is_the_clients(client: Client) -> None:
    code, found = error_of(client.predict("mixed", {"inputs": {"a": [[1.0, 2.0]] * 2, "b": [[1.0]] * 3}}))
    assert code == 400
    assert found
