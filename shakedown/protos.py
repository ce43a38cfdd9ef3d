"""TensorFlow Serving's messages without TensorFlow.

`import tensorflow` runs a package file that imports the whole public API: many seconds of CPU and half a gigabyte,
for messages that need none of it. While they are imported, a bare package of the same name and path stands in.
"""

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

from shakedown.verdict import UnusableEnvironment


@contextmanager
def bare_tensorflow() -> Iterator[None]:
    """Let parts of TensorFlow be imported on their own; the real package can still be imported afterwards.

    Raises UnusableEnvironment where TensorFlow is not installed.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise UnusableEnvironment("TensorFlow is missing: install requirements/main.txt")
    package = types.ModuleType("tensorflow")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with bare_tensorflow():
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import (
        get_model_status_pb2,
        model_management_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
    from tensorflow_serving.config import model_server_config_pb2

__all__ = [
    "get_model_status_pb2",
    "model_management_pb2",
    "model_server_config_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_service_pb2_grpc",
    "types_pb2",
]
