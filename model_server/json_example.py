"""Classify and regress requests and answers as JSON."""

from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from model_server import rapid_json
from model_server.json_tensor import FLOATS, decimals, decode_base64, is_base64, value_text
from model_server.status import StatusError, invalid

KIND_NAMES = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64", None: "UNKNOWN"}
JSON_TYPES = {type(None): "Null", dict: "Object", list: "Array"}
INT64 = range(-(2**63), 2**63)


def read_input(document: dict[str, Any]) -> input_pb2.Input:
    """The request's examples and their context; raises StatusError with the server's own text."""

    def malformed(what: str) -> StatusError:
        return invalid(f"JSON Value: {rapid_json.text_of(document)} {what}")

    found = input_pb2.Input()
    if "context" in document:
        found.example_list_with_context.context.CopyFrom(read_example(document["context"]))
    if "examples" not in document:
        raise malformed("When method is classify, key 'examples' is expected and was not found")
    listed = document["examples"]
    if not isinstance(listed, list):
        raise malformed("Expecting 'examples' value to be an list/array")
    if not listed:
        raise malformed("'examples' value is an empty array")
    target = found.example_list_with_context if "context" in document else found.example_list
    target.examples.extend(map(read_example, listed))
    return found


def read_example(value: Any) -> example_pb2.Example:  # noqa: ANN401  # JSON
    """One example from an object of features."""
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_type(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[name.encode("utf-8", "replace").decode()]
        feature.SetInParent()
        for item in content if isinstance(content, list) else [content]:
            add_value(item, name, feature)
    return example


def json_type(value: object) -> str:
    """The parser's name of a value's type."""
    if isinstance(value, bool):
        return str(value)
    return JSON_TYPES.get(type(value)) or ("String" if isinstance(value, str) else "Number")


def add_value(value: Any, name: str, feature: feature_pb2.Feature) -> None:  # noqa: ANN401  # JSON
    """Append one value to a feature; raises StatusError where the feature holds another kind, or JSON has no such."""
    kind, converted = feature_value(value, name)
    present = feature.WhichOneof("kind")
    if present not in {None, kind}:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {KIND_NAMES[present]}")
    getattr(feature, kind).value.append(converted)


def feature_value(value: Any, name: str) -> tuple[str, Any]:  # noqa: ANN401  # JSON
    """The kind of feature that a JSON value makes, and what it holds."""
    if isinstance(value, str):
        return "bytes_list", value.encode("utf-8", "surrogateescape")
    if is_base64(value):
        return "bytes_list", decode_base64(value)
    if isinstance(value, bool):
        return "int64_list", int(value)
    if isinstance(value, int):
        if value not in INT64:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64_list", value
    if isinstance(value, float):
        if np.isfinite(value) and abs(value) > FLOATS[types_pb2.DT_FLOAT][1]:
            raise invalid(f"Cannot convert JSON value: {value_text(value)} to float without loss of precision.")
        return "float_list", value
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")


def write_classes(result: classification_pb2.ClassificationResult) -> bytes:
    """`results`: per example a list of label and score."""
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for classified in result.classifications:
        scores = decimals([one.score for one in classified.classes], np.dtype(np.float32))
        pairs = zip(classified.classes, scores, strict=True)
        rows.append(f"[{', '.join(f'[{rapid_json.quote(one.label)}, {score}]' for one, score in pairs)}]")
    return f'{{\n    "results": [{", ".join(rows)}\n    ]\n}}'.encode()


def write_values(result: regression_pb2.RegressionResult) -> bytes:
    """`results`: one value per example."""
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    values = decimals([one.value for one in result.regressions], np.dtype(np.float32))
    return f'{{\n    "results": [{", ".join(values)}]\n}}'.encode()
