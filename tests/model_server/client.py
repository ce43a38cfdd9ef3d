"""A small client for both protocols, and servers to point it at."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import requests
from google.protobuf.message import Message
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
TIMEOUT_S = 30.0
DTYPES = {"float32": 1, "int32": 3, "int64": 9}


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    rest: int
    grpc: int


class Client:
    """Asks one server over REST and gRPC."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.http = requests.Session()
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(f"{address.host}:{address.grpc}", options)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def url(self, path: str) -> str:
        return f"http://{self.address.host}:{self.address.rest}{path}"

    def get(self, path: str) -> requests.Response:
        return self.http.get(self.url(path), timeout=TIMEOUT_S)

    def post(self, path: str, body: object, **options: Any) -> requests.Response:
        """POST bytes and text as they are, anything else as JSON."""
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.http.post(self.url(path), data=data, timeout=TIMEOUT_S, **options)

    def predict(self, model: str, body: object) -> requests.Response:
        return self.post(f"/v1/models/{model}:predict", body)

    def grpc_predict(self, model: str, inputs: Mapping[str, NDArray[Any]], **spec: Any) -> predict_pb2.PredictResponse:
        return self.prediction.Predict(predict_request(model, inputs, **spec), timeout=TIMEOUT_S)

    def raw(self, method: str, service: str = "PredictionService") -> Any:
        """A call that sends and gets bytes."""
        return self.channel.unary_unary(f"/tensorflow.serving.{service}/{method}")

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample, 0 where there is none."""
        page = self.get("/monitoring/prometheus/metrics").text
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = [line for line in page.splitlines() if line.startswith(name + "{")]
        found = [line for line in lines if all(part in line for part in wanted)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def predict_request(
    model: str, inputs: Mapping[str, NDArray[Any]], signature: str = "", version: int = 0, outputs: tuple[str, ...] = ()
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version:
        request.model_spec.version.value = version
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tensor(array))
    return request


def tensor(array: NDArray[Any]) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=DTYPES[array.dtype.name], tensor_content=array.tobytes())
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def error_of(response: requests.Response) -> tuple[int, str]:
    """A REST error's code and text."""
    assert response.headers["Content-Type"].startswith("application/json")
    return response.status_code, response.json()["error"]


def grpc_error(call: Callable[[Message], object], request: Message) -> tuple[str, str]:
    """A gRPC error's code and text."""
    try:
        answer = call(request)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    raise AssertionError(f"no error but {answer}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A server that a test started."""

    def __init__(self, folder: Path, *flags: str, ports: bool = True) -> None:
        self.address = Address("127.0.0.1", free_port(), free_port())
        self.log = folder / f"server-{self.address.rest}.log"
        own = [f"--port={self.address.grpc}", f"--rest_api_port={self.address.rest}"] if ports else []
        command = [sys.executable, "-m", "model_server.main", *own, *flags]
        with self.log.open("w") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=output, stderr=output)

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, wanted: str) -> None:
        """Until the log has the text; fails where the server ends before, or takes too long."""
        stop = time.monotonic() + START_S
        while wanted not in self.text():
            assert self.process.poll() is None, f"the server ended:\n{self.text()}"
            assert time.monotonic() < stop, f"no '{wanted}' within {START_S} s:\n{self.text()}"
            time.sleep(0.05)

    def ready(self) -> Client:
        self.wait_for("Exporting HTTP/REST API")
        return Client(self.address)

    def exit_code(self) -> int:
        return self.process.wait(START_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def until(check: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for something that a server does on its own."""
    stop = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < stop, f"not so within {within_s} s"
        time.sleep(0.05)


def floats(*values: Any) -> NDArray[np.float32]:
    return np.array(values, np.float32)
