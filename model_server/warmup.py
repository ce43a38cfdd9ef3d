"""Replays the requests that a SavedModel brings along, before anybody else may use it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.python.framework import errors_impl
from tensorflow.python.lib.io._pywrap_record_io import RecordIterator as RecordReader
from tensorflow_serving.apis import prediction_log_pb2

from model_server import inference
from model_server.runner import Runner
from model_server.servable import Servable
from model_server.status import Code, StatusError

RECORDS = Path("assets.extra") / "tf_serving_warmup_requests"
MOST_RECORDS = 1000


def records(path: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    """The logged requests; raises StatusError for a file that is damaged."""
    try:
        for record in RecordReader(str(path), ""):
            yield prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise StatusError(Code.INVALID_ARGUMENT, f"Failed to parse warmup record in {path}: {error}") from error
    except errors_impl.OpError as error:
        raise StatusError(Code(error.error_code), error.message) from error


def warm_up(servable: Servable) -> bool:
    """Replay every record; returns whether there were any.

    Raises StatusError for a record that fails, or for more of them than the server allows.
    """
    path = servable.folder / RECORDS
    if not path.exists():
        return False
    for place, log in enumerate(records(path)):
        if place >= MOST_RECORDS:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}",
            )
        asyncio.run(replay(servable, log))
    return True


async def replay(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    """Run one logged request as if a client had sent it."""
    kind = log.WhichOneof("log_type")
    request: Any = getattr(log, kind).request if kind else None
    if kind == "predict_log":
        signature = inference.predict_signature(servable, request.model_spec.signature_name)
        await inference.predict(Runner.alone, servable, signature, request.inputs, request.output_filter)
    elif kind == "classify_log":
        await inference.classify(Runner.alone, servable, request.model_spec.signature_name, request.input)
    elif kind == "regress_log":
        await inference.regress(Runner.alone, servable, request.model_spec.signature_name, request.input)
    elif kind == "multi_inference_log":
        await inference.multi_inference(Runner.alone, servable, request)
    else:
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
