"""Predict requests and answers as JSON: the row format `instances`, the columnar format `inputs`."""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from model_server import rapid_json
from model_server.status import Code, StatusError, invalid
from model_server.tensors import NUMPY_MAX_RANK, dtype_name, numpy_dtype, own_array

Array = NDArray[Any]
Inputs = dict[str, Array]
TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]

FLOATS = {types_pb2.DT_FLOAT: (2**24 - 1, float(np.finfo(np.float32).max)), types_pb2.DT_DOUBLE: (2**53 - 1, np.inf)}
INTEGERS = {
    types_pb2.DT_INT32: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT16: (-(2**31), 2**31 - 1),  # the proto keeps these three in 32 bits and cuts them later
    types_pb2.DT_INT8: (-(2**31), 2**31 - 1),
    types_pb2.DT_UINT8: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT64: (-(2**63), 2**63 - 1),
    types_pb2.DT_UINT32: (0, 2**32 - 1),
    types_pb2.DT_UINT64: (0, 2**64 - 1),
}
BYTES_SUFFIX = "_bytes"


@dataclass(frozen=True)
class Request:
    """What a predict request's body says; inputs by their names in the signature."""

    inputs: Inputs
    row_format: bool


def signature_name(document: dict[str, Any]) -> str:
    """The signature that is asked for, empty for the default; raises StatusError where it is not a string."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {rapid_json.text_of(document)} not formatted correctly."
            " 'signature_name' key must be a string value."
        )
    return name


def read_inputs(document: dict[str, Any], infos: TensorInfos) -> Request:
    """The request's tensors; raises StatusError with the server's own text for every malformed one."""

    def malformed(what: str) -> StatusError:
        return invalid(f"JSON Value: {rapid_json.text_of(document)} {what}")

    if "instances" in document and "inputs" in document:
        raise malformed("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ")
    if "inputs" in document:
        return Request(from_columns(document["inputs"], infos), row_format=False)
    if "instances" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    instances = document["instances"]
    if not isinstance(instances, list):
        raise malformed("Expecting 'instances' to be an list/array")
    if not instances:
        raise malformed("No values in 'instances' array")
    return Request(from_rows(instances, infos), row_format=True)


def is_base64(value: object) -> bool:
    """Whether a value is bytes written as `{"b64": "..."}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def is_named(value: object) -> bool:
    """Whether an instance names its inputs."""
    return isinstance(value, dict) and not is_base64(value)


def from_rows(instances: list[Any], infos: TensorInfos) -> Inputs:
    """The inputs of the row format, one instance after the other along a new first dimension."""
    if len(infos) > 1 and not isinstance(instances[0], dict):
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per"
            " tensorinfo_map"
        )
    if is_named(instances[0]):
        return named_rows(instances, infos)
    name, info = next(iter(infos.items()))
    quick = quick_array(instances, info.dtype)
    if quick is not None:
        return {name: quick}
    rows = Rows(name, info.dtype)
    for place, instance in enumerate(instances):
        if is_named(instance):
            raise invalid(f"Expecting value/list but got object at item {place} of input list")
        try:
            rows.add(instance)
        except StatusError as error:
            raise invalid(f"Failed to process element: {place} of 'instances' list. Error: {error}") from error
    return {name: rows.array()}


def named_rows(instances: list[Any], infos: TensorInfos) -> Inputs:
    """The inputs of a row format whose instances are objects."""
    columns = {name: Rows(name, info.dtype) for name, info in infos.items()}
    for place, instance in enumerate(instances):
        if not is_named(instance):
            raise invalid(f"Expecting object but got list at item {place} of input list")
        for key, value in instance.items():
            try:
                if key not in columns:
                    raise invalid(f"JSON object: does not have named input: {key}")
                columns[key].add(value)
            except StatusError as error:
                raise invalid(
                    f"Failed to process element: {place} key: {key} of 'instances' list. Error: {error}"
                ) from error
        if instance.keys() != columns.keys():
            raise invalid(
                f"Failed to process element: {place} of 'instances' list. JSON object:"
                f" {rapid_json.text_of(instance)} keys must be equal to: {','.join(sorted(columns))}"
            )
    return {name: rows.array() for name, rows in columns.items()}


def from_columns(value: Any, infos: TensorInfos) -> Inputs:  # noqa: ANN401  # JSON
    """The inputs of the columnar format."""
    if is_named(value):
        missing = next((name for name in infos if name not in value), None)
        if missing is not None:
            raise invalid(f"Missing named input: {missing} in 'inputs' object.")
        return {name: whole_array(name, value[name], info.dtype) for name, info in infos.items()}
    if len(infos) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per"
            " tensorinfo_map"
        )
    name, info = next(iter(infos.items()))
    return {name: whole_array(name, value, info.dtype)}


def whole_array(name: str, value: Any, dtype: int) -> Array:  # noqa: ANN401  # JSON
    """One input, all of it in one value."""
    quick = quick_array(value, dtype) if isinstance(value, list) else None
    if quick is not None:
        return quick
    shape = shape_of(name, value)
    leaves: list[Any] = []
    fill(value, shape, dtype, leaves)
    return to_array(leaves, dtype, shape)


def quick_array(value: list[Any], dtype: int) -> Array | None:
    """The array of a list that is of one shape, type and range all through; None where a closer look is due."""
    shape: list[int] = []
    level = value
    while level and type(level[0]) is list:
        size = len(level[0])
        if any(type(item) is not list or len(item) != size for item in level):
            return None
        shape.append(size)
        level = level[0] if len(level) == 1 else list(chain.from_iterable(level))
        if len(shape) >= NUMPY_MAX_RANK:
            return None
    return quick_leaves(level, dtype, [len(value), *shape])


def quick_leaves(level: list[Any], dtype: int, shape: list[int]) -> Array | None:
    """The array of leaves that are all numbers of the right type and range, else None."""
    kinds = set(map(type, level))
    if dtype in FLOATS and kinds <= {int, float}:
        largest_int, largest = FLOATS[dtype]
        array = np.array(level, np.float64)
        peak = max(-array.min(), array.max()) if level else 0.0
        if not peak <= (largest_int if int in kinds else largest):  # NaN is not, too
            return None
        return array.astype(numpy_dtype(dtype), copy=False).reshape(shape)
    if dtype in INTEGERS and kinds == {int}:
        low, high = INTEGERS[dtype]
        if min(level) < low or max(level) > high:
            return None
        return to_array(level, dtype, shape)
    return None


class Rows:
    """One input that is collected instance by instance; all must be of one size and shape."""

    def __init__(self, name: str, dtype: int) -> None:
        self.name = name
        self.dtype = dtype
        self.shape: list[int] | None = None
        self.size = 0
        self.count = 0
        self.leaves: list[Any] = []

    def add(self, value: Any) -> None:  # noqa: ANN401  # JSON
        """Take one more instance; raises StatusError where it is not like the first."""
        shape = shape_of(self.name, value)
        before = len(self.leaves)
        fill(value, shape, self.dtype, self.leaves)
        size = len(self.leaves) - before
        if self.shape is None:
            self.shape, self.size = shape, size
        elif size != self.size:
            raise invalid(f"Expecting tensor size: {self.size} but got: {size}")
        elif shape != self.shape:
            raise invalid(f"Expecting shape {shape_text(self.shape)} but got: {shape_text(shape)}")
        self.count += 1

    def array(self) -> Array:
        """All instances along a new first dimension."""
        return to_array(self.leaves, self.dtype, [self.count, *(self.shape or [])])


def shape_text(shape: list[int]) -> str:
    """A shape as errors quote it."""
    return f"[{','.join(map(str, shape))}]"


def shape_of(name: str, value: Any) -> list[int]:  # noqa: ANN401  # JSON
    """The sizes of nested lists along their first elements; raises StatusError where they are nested too deeply."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) >= NUMPY_MAX_RANK:
            raise invalid(f"tensor parsing error: {name}")
        if not value:
            break
        value = value[0]
    return shape


def fill(value: Any, shape: list[int], dtype: int, leaves: list[Any], level: int = 0) -> None:  # noqa: ANN401
    """Append a value's leaves in order; raises StatusError for one that is of the wrong type, size or level."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {value_text(value)} found at incorrect level: {level + 1} in the JSON DOM."
                f" Expected at level: {len(shape)}"
            )
        leaves.append(leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        fill(item, shape, dtype, leaves, level + 1)


def leaf(value: Any, dtype: int) -> Any:  # noqa: ANN401  # one return per kind of tensor
    """One JSON value as what an array of `dtype` holds; raises StatusError where it can't be."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype in FLOATS and number:
        largest_int, largest = FLOATS[dtype]
        if (isinstance(value, int) and abs(value) > largest_int) or (np.isfinite(value) and abs(value) > largest):
            target = dtype_name(dtype)
            raise invalid(f"Cannot convert JSON value: {value_text(value)} to {target} without loss of precision.")
        return value
    if dtype in INTEGERS and isinstance(value, int) and not isinstance(value, bool):
        low, high = INTEGERS[dtype]
        return value if low <= value <= high else wrong_type(value, dtype)
    if dtype == types_pb2.DT_BOOL and isinstance(value, bool):
        return value
    if dtype == types_pb2.DT_STRING and isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if dtype == types_pb2.DT_STRING and isinstance(value, dict):
        return decode_base64(value)
    if dtype in FLOATS or dtype in INTEGERS or dtype in {types_pb2.DT_BOOL, types_pb2.DT_STRING}:
        return wrong_type(value, dtype)
    raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {value_text(value)} to type: {dtype_name(dtype)}")


def wrong_type(value: object, dtype: int) -> NoReturn:
    """Raise StatusError for a value of another type than the tensor's."""
    kinds = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    kind = kinds.get(type(value)) or str(value)
    raise invalid(f"JSON Value: {value_text(value)} Type: {kind} is not of expected type: {dtype_name(dtype)}")


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes of `{"b64": "..."}`."""
    if not is_base64(value):
        raise invalid(f"JSON Value: {rapid_json.text_of(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"] + "=" * (-len(value["b64"]) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def value_text(value: Any) -> str:  # noqa: ANN401  # JSON
    """A value as errors quote it; a number that stands alone prints as answers do."""
    return decimal(value, np.float64) if isinstance(value, float) else rapid_json.text_of(value)


def to_array(leaves: list[Any], dtype: int, shape: list[int]) -> Array:
    """The leaves as an array of the tensor's type."""
    if dtype == types_pb2.DT_STRING:
        return own_array(leaves, shape)
    if dtype in {types_pb2.DT_INT16, types_pb2.DT_INT8, types_pb2.DT_UINT8}:
        return np.array(leaves, np.int32).astype(numpy_dtype(dtype)).reshape(shape)
    return np.array(leaves, numpy_dtype(dtype)).reshape(shape)


@dataclass
class Writer:
    """Writes values one by one as the pretty printer does; arrays of rows stay on one line."""

    indent: int
    single_line: bool
    parts: list[str] = field(default_factory=list)

    def array(self, values: list[str], shape: tuple[int, ...], take: int = 0) -> int:
        """Append an array of `shape` from the texts of its values, from `take` on; returns the next one to take."""
        if not shape:
            self.parts.append(values[take])
            return take + 1
        if self.single_line and len(shape) == 1:
            self.parts.append(f"[{', '.join(values[take : take + shape[0]])}]")
            return take + shape[0]
        self.parts.append("[")
        self.indent += 1
        for place in range(shape[0]):
            self.separate(first=place == 0)
            take = self.array(values, shape[1:], take)
        self.indent -= 1
        if shape[0] and not self.single_line:
            self.new_line()
        self.parts.append("]")
        return take

    def separate(self, *, first: bool) -> None:
        """What stands before an array's element."""
        if self.single_line:
            self.parts.append("" if first else ", ")
            return
        self.parts.append("" if first else ",")
        self.new_line()

    def new_line(self) -> None:
        """Go to the next line at the present depth."""
        self.parts.append("\n" + "    " * self.indent)


def write_outputs(outputs: Mapping[str, Array], *, row_format: bool) -> bytes:
    """The answer to a predict request; raises StatusError for a type or a shape that JSON has no form for."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    texts = {name: value_texts(name, array) for name, array in outputs.items()}
    text = write_rows(outputs, texts) if row_format else write_columns(outputs, texts)
    return text.encode("utf-8", "surrogateescape")


def write_rows(outputs: Mapping[str, Array], texts: Mapping[str, list[str]]) -> str:
    """`predictions`: one element per row of every output."""
    batch = batch_size(outputs)
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        writer = Writer(indent=2, single_line=True)
        take = 0
        for row in range(batch):
            writer.separate(first=row == 0)
            take = writer.array(texts[name], array.shape[1:], take)
        body = "".join(writer.parts)
    else:
        body = ",".join(named_row(outputs, texts, row) for row in range(batch))
    end = "\n    " if batch else ""
    return f'{{\n    "predictions": [{body}{end}]\n}}'


def named_row(outputs: Mapping[str, Array], texts: Mapping[str, list[str]], row: int) -> str:
    """One row of several outputs as an object."""
    members = []
    for name, array in outputs.items():
        writer = Writer(indent=3, single_line=True)
        writer.array(texts[name], array.shape[1:], row * int(np.prod(array.shape[1:])))
        members.append(f"\n            {rapid_json.quote(name)}: {''.join(writer.parts)}")
    return f"\n        {{{','.join(members)}\n        }}"


def batch_size(outputs: Mapping[str, Array]) -> int:
    """The first dimension of all outputs; raises StatusError where they have none, or not the same."""
    batch = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch not in {-1, array.shape[0]}:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {batch}")
        batch = array.shape[0]
    return batch


def write_columns(outputs: Mapping[str, Array], texts: Mapping[str, list[str]]) -> str:
    """`outputs`: each output whole."""
    members = []
    several = len(outputs) > 1
    for name, array in outputs.items():
        writer = Writer(indent=2 if several else 1, single_line=False)
        writer.array(texts[name], array.shape)
        key = f"\n        {rapid_json.quote(name)}: " if several else ""
        members.append(key + "".join(writer.parts))
    body = f"{{{','.join(members)}\n    }}" if several else members[0]
    return f'{{\n    "outputs": {body}\n}}'


def value_texts(name: str, array: Array) -> list[str]:
    """Every value of an output as JSON, in order."""
    values = array.ravel().tolist()
    if array.dtype == np.object_:
        if name.endswith(BYTES_SUFFIX):
            return [f'{{\n    "b64": "{base64.b64encode(value).decode()}"\n}}' for value in values]
        return [rapid_json.quote(value.decode("utf-8", "surrogateescape")) for value in values]
    if array.dtype == np.bool_:
        return ["true" if value else "false" for value in values]
    if np.issubdtype(array.dtype, np.integer):
        return list(map(str, values))
    if np.issubdtype(array.dtype, np.floating):
        return decimals(values, array.dtype)
    raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")


def decimals(values: list[float], dtype: "np.dtype[Any] | type[np.float64]") -> list[str]:
    """Floats at six digits where they read back to the same value, else at as many as always do."""
    digits = 17 if dtype == np.float64 else 9
    texts = [f"{value:.6g}" for value in values]
    kind = np.float64 if dtype == np.float64 else np.float32
    same = (np.array(list(map(float, texts)), kind) == np.array(values, kind)).tolist()
    return [
        with_point(text if equal else precise(value, digits))
        for text, equal, value in zip(texts, same, values, strict=True)
    ]


def decimal(value: float, dtype: "np.dtype[Any] | type[np.float64]") -> str:
    """One float, see `decimals`."""
    return decimals([value], dtype)[0]


def precise(value: float, digits: int) -> str:
    """A float at so many digits, or the name of one that is no number."""
    return f"{value:.{digits}g}" if math.isfinite(value) else rapid_json.not_finite_text(value)


def with_point(text: str) -> str:
    """Whole numbers end in `.0`: so they stay floats for whoever reads them."""
    if text in {"inf", "-inf"}:
        return rapid_json.not_finite_text(float(text))
    return text if "." in text or "e" in text or text[-1] in "Ny" else f"{text}.0"
