"""The configuration files: text protos read into what the server works with."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from model_server.flags import Flags
from model_server.schemas import CLASSES
from model_server.status import Code, StatusError, invalid

# SharedBatchScheduler's own defaults
MAX_BATCH_SIZE = 1000
MAX_ENQUEUED_BATCHES = 10
BATCH_THREADS = os.cpu_count() or 1
POOL_NAME = "model_server_batch_threads"


@dataclass(frozen=True)
class Batching:
    """How requests are put together: sizes in rows, times in seconds."""

    max_size: int = MAX_BATCH_SIZE
    timeout_s: float = 0.0
    max_enqueued: int = MAX_ENQUEUED_BATCHES
    threads: int = BATCH_THREADS
    pool_name: str = POOL_NAME
    allowed_sizes: tuple[int, ...] = ()
    pad_variable_length: bool = False


def read_text_proto(path: str, message: Message) -> Any:  # noqa: ANN401  # messages built at run time have no types
    """The text proto in the file, read into `message`.

    Raises StatusError: NOT_FOUND for a missing file, INVALID_ARGUMENT for one that is not such a message.
    """
    try:
        text = Path(path).read_text()
    except FileNotFoundError as error:
        raise StatusError(Code.NOT_FOUND, f"{path}; No such file or directory") from error
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid protobuf file: '{path}': {error}") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise invalid(f"Invalid protobuf file: '{path}': {error}") from error


def models(flags: Flags) -> model_server_config_pb2.ModelServerConfig:
    """The model configuration: the file's, or the single model of the flags."""
    if flags.model_config_file:
        return read_text_proto(flags.model_config_file, model_server_config_pb2.ModelServerConfig())
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=flags.model_name, base_path=flags.model_base_path, model_platform="tensorflow"
    )
    return config


def batching(flags: Flags) -> Batching | None:
    """The batching parameters, or None where batching is off; raises StatusError where they contradict themselves."""
    if not flags.enable_batching:
        return None
    if not flags.batching_parameters_file:
        return Batching()
    found = read_text_proto(flags.batching_parameters_file, CLASSES["BatchingParameters"]())
    default = Batching()

    def value(name: str, otherwise: object) -> Any:  # noqa: ANN401
        return getattr(found, name).value if found.HasField(name) else otherwise

    result = Batching(
        max_size=value("max_batch_size", default.max_size),
        timeout_s=value("batch_timeout_micros", 0) / 1e6,
        max_enqueued=value("max_enqueued_batches", default.max_enqueued),
        threads=value("num_batch_threads", default.threads),
        pool_name=value("thread_pool_name", default.pool_name),
        allowed_sizes=tuple(found.allowed_batch_sizes),
        pad_variable_length=found.pad_variable_length_inputs,
    )
    check_batching(result)
    return result


def check_batching(batching: Batching) -> None:
    """Raise StatusError where the allowed sizes don't end at the largest batch, or a number makes no sense."""
    if batching.max_size < 1 or batching.threads < 1 or batching.max_enqueued < 1 or batching.timeout_s < 0:
        raise invalid("max_batch_size, num_batch_threads and max_enqueued_batches must be at least 1")
    sizes = batching.allowed_sizes
    if sizes and sizes[-1] != batching.max_size:
        raise invalid(
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was"
            f" {sizes[-1]}; expected {batching.max_size}"
        )
    if list(sizes) != sorted(set(sizes)):
        raise invalid(f"allowed_batch_sizes must be in increasing order, they are {list(sizes)}")


def prometheus_path(flags: Flags) -> str | None:
    """Where metrics are exported, or None: only a monitoring file that enables them does."""
    if not flags.monitoring_config_file or not flags.rest_api_port:
        return None
    found = read_text_proto(flags.monitoring_config_file, CLASSES["MonitoringConfig"]())
    return found.prometheus_config.path if found.prometheus_config.enable else None


def ssl(flags: Flags) -> Any | None:  # noqa: ANN401
    """The SSL configuration (server_key, server_cert, custom_ca, client_verify), or None."""
    return read_text_proto(flags.ssl_config_file, CLASSES["SSLConfig"]()) if flags.ssl_config_file else None
