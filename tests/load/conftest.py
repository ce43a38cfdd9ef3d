"""A null server over REST and gRPC that answers what a test wants, and a load on it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from bench.null_server import Answering, serve
from shakedown.ledger import Ledger
from shakedown.load import Load
from shakedown.oracle import Oracle
from shakedown.protos import predict_pb2, prediction_service_pb2_grpc, types_pb2
from shakedown.serving import Endpoint

IMAGES = np.zeros((1, 784), dtype=np.float32)
GOLDEN = {version: np.eye(10, dtype=np.float32)[version : version + 1] for version in (1, 2)}


def answer_of(version: int) -> bytes:
    return json.dumps({"predictions": GOLDEN[version].tolist()}).encode()


@dataclass
class Bed:
    load: Load
    ledger: Ledger
    answering: Answering


@contextmanager
def rest_server() -> Iterator[tuple[Answering, int]]:
    answering, loop = Answering(answer_of(2)), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(answering), loop).result(10)
    yield answering, server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc] # generated without types
    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - gRPC's names
        answer = predict_pb2.PredictResponse()
        answer.model_spec.version.value = 2
        tensor = answer.outputs["probabilities"]
        tensor.dtype = types_pb2.DT_FLOAT
        tensor.float_val.extend(GOLDEN[2][0].tolist())
        return answer


@contextmanager
def grpc_server() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with rest_server() as (answering, rest), grpc_server() as rpc:
        endpoint = Endpoint("null", f"http://127.0.0.1:{rest}", f"127.0.0.1:{rpc}", "digits.test")
        yield Bed(Load(endpoint, "digits", Oracle(IMAGES, GOLDEN, 1e-4), ledger), ledger, answering)
    ledger.close()
