"""TensorProtos to arrays and back, in the typed fields that the server answers with."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2, types_pb2

from model_server.status import StatusError, invalid

Array = NDArray[Any]

NUMPY_MAX_RANK = 64
NUMPY_MAX_BYTES = np.iinfo(np.intp).max  # of an array's dimensions but for those of size 0, empty as it may be
# A few bytes of a request may name a tensor of any size, with its one value repeated: more than this is refused.
MAX_EXPANDED_BYTES = 256 * 2**20

KINDS: dict[int, tuple[Any, str]] = {
    types_pb2.DT_FLOAT: (np.float32, "float_val"),
    types_pb2.DT_DOUBLE: (np.float64, "double_val"),
    types_pb2.DT_INT32: (np.int32, "int_val"),
    types_pb2.DT_INT16: (np.int16, "int_val"),
    types_pb2.DT_INT8: (np.int8, "int_val"),
    types_pb2.DT_UINT8: (np.uint8, "int_val"),
    types_pb2.DT_UINT16: (np.uint16, "int_val"),
    types_pb2.DT_INT64: (np.int64, "int64_val"),
    types_pb2.DT_UINT32: (np.uint32, "uint32_val"),
    types_pb2.DT_UINT64: (np.uint64, "uint64_val"),
    types_pb2.DT_BOOL: (np.bool_, "bool_val"),
    types_pb2.DT_STRING: (np.object_, "string_val"),
    types_pb2.DT_HALF: (np.float16, "half_val"),
    types_pb2.DT_BFLOAT16: (ml_dtypes.bfloat16, "half_val"),
    types_pb2.DT_COMPLEX64: (np.complex64, "scomplex_val"),
    types_pb2.DT_COMPLEX128: (np.complex128, "dcomplex_val"),
}
ENUMS = {np.dtype(kind): enum for enum, (kind, _) in KINDS.items()}
HALVES = {types_pb2.DT_HALF, types_pb2.DT_BFLOAT16}
COMPLEX = {types_pb2.DT_COMPLEX64, types_pb2.DT_COMPLEX128}


def dtype_name(dtype: int) -> str:
    """TensorFlow's name of a type: `float`, `int32`, `string`."""
    name: str = types_pb2.DataType.Name(dtype)
    return name.removeprefix("DT_").lower()


def numpy_dtype(dtype: int) -> Any:  # noqa: ANN401  # numpy has no type for "some scalar type"
    """NumPy's type; raises StatusError for one that no array can hold."""
    if dtype not in KINDS:
        raise invalid(f"Unsupported tensor type: {dtype_name(dtype)}")
    return KINDS[dtype][0]


def own_array(values: Sequence[bytes], shape: Sequence[int]) -> Array:
    """An array of byte strings."""
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array.reshape(shape)


def to_array(alias: str, proto: tensor_pb2.TensorProto) -> Array:
    """The proto's tensor; raises StatusError where the server could not parse it, naming the input's alias."""
    failure = invalid(f"tensor parsing error: {alias}")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.dtype not in KINDS or proto.tensor_shape.unknown_rank or len(shape) > NUMPY_MAX_RANK:
        raise failure
    if any(size < 0 for size in shape):
        raise failure
    kind, field_name = KINDS[proto.dtype]
    if math.prod(size for size in shape if size) * np.dtype(kind).itemsize > NUMPY_MAX_BYTES:
        raise failure
    count = math.prod(shape)
    if proto.tensor_content and kind is not np.object_:
        return from_content(proto.tensor_content, np.dtype(kind), shape, count, failure)
    values = getattr(proto, field_name)
    if len(values) < count and count * np.dtype(kind).itemsize > MAX_EXPANDED_BYTES:
        raise failure
    return from_values(values, proto.dtype, shape, count)


def from_content(content: bytes, kind: "np.dtype[Any]", shape: list[int], count: int, failure: StatusError) -> Array:
    """A tensor given as its memory."""
    if len(content) != count * kind.itemsize:
        raise failure
    return np.frombuffer(content, kind).reshape(shape)


def from_values(values: Any, dtype: int, shape: list[int], count: int) -> Array:  # noqa: ANN401  # a repeated field
    """A tensor given value by value: the last one is repeated, and without any all are zero."""
    kind = KINDS[dtype][0]
    if kind is np.object_:
        texts = list(values[:count])
        return own_array(texts + [texts[-1] if texts else b""] * (count - len(texts)), shape)
    if dtype in HALVES:
        array: Array = np.array(values, np.int32).astype(np.uint16).view(kind)
    elif dtype in COMPLEX:
        parts = np.array(values[: len(values) // 2 * 2], kind(0).real.dtype)
        array = parts.view(kind)
    else:
        array = np.array(values).astype(kind)
    if len(array) >= count:
        return array[:count].reshape(shape)
    rest = np.full(count - len(array), array[-1] if len(array) else 0, kind)
    return np.concatenate([array, rest]).reshape(shape)


def fill_proto(array: Array, proto: tensor_pb2.TensorProto) -> None:
    """Write an array into a proto's typed field, as the server answers."""
    dtype = ENUMS[array.dtype]
    proto.dtype = dtype
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    values: Iterable[Any]
    if dtype in HALVES:
        values = array.ravel().view(np.uint16).tolist()
    elif dtype in COMPLEX:
        values = np.ascontiguousarray(array).ravel().view(array.real.dtype).tolist()
    else:
        values = array.ravel().tolist()
    getattr(proto, KINDS[dtype][1]).extend(values)
