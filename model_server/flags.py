"""Command line flags, with the names, the defaults and the manners of tensorflow_model_server."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from model_server.status import invalid


@dataclass(frozen=True)
class Flags:
    """Every flag that means something to a CPU server; field names are the flags' names."""

    port: int = 8500
    rest_api_port: int = 0
    grpc_socket_path: str = ""
    rest_api_timeout_in_ms: int = 30000
    rest_api_num_threads: int = 4 * (os.cpu_count() or 1)
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)
    rest_api_enable_cors_support: bool = False
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: int = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_batching: bool = False
    batching_parameters_file: str = ""
    monitoring_config_file: str = ""
    enable_model_warmup: bool = True
    allow_version_labels_for_unavailable_models: bool = False
    ssl_config_file: str = ""
    enable_grpc_healthcheck_service: bool = False
    grpc_channel_arguments: str = ""
    saved_model_tags: str = "serve"
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    flush_filesystem_caches: bool = True
    version: bool = False


class BadFlagError(Exception):
    """A flag that the server knows has a value that it can't read."""


@dataclass(frozen=True)
class Parsed:
    """The flags, and the first argument that is none of them."""

    flags: Flags
    unknown: str | None


def parse(arguments: Sequence[str]) -> Parsed:
    """Read `--name=value` and `--name` (for bools), keeping what is not known for the caller to report.

    Raises BadFlagError for a value of the wrong kind.
    """
    kinds = {field.name: field.type for field in dataclasses.fields(Flags)}
    values: dict[str, object] = {}
    unknown: str | None = None
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        kind = kinds.get(name) if argument.startswith("--") else None
        if kind is None or (not equals and kind is not bool):
            unknown = unknown or argument
            continue
        values[name] = True if not equals else value_of(name, kind, text)
    return Parsed(Flags(**values), unknown)  # type: ignore[arg-type]  # value_of read them by the fields' own types


def value_of(name: str, kind: object, text: str) -> object:
    """The text as the flag's type; raises BadFlagError where it is not one."""
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in {"true", "false", "1", "0"}:
            raise BadFlagError(f"Couldn't interpret value {text} for flag {name}.")
        return text.lower() in {"true", "1"}
    try:
        return int(text)
    except ValueError as error:
        raise BadFlagError(f"Couldn't interpret value {text} for flag {name}.") from error


def check(flags: Flags) -> None:
    """Raise StatusError for flags that contradict each other."""
    if not flags.port and not flags.grpc_socket_path:
        raise invalid("server_options.grpc_port is not set.")
    if not flags.model_base_path and not flags.model_config_file:
        raise invalid("Both server_options.model_base_path and server_options.model_config_file are empty!")
    if flags.batching_parameters_file and not flags.enable_batching:
        raise invalid(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )


def usage() -> str:
    """One line per flag with its default."""
    lines = [f"usage: {sys.argv[0]}", "Flags:"]
    names = {int: "int32", bool: "bool", str: "string"}
    for field in dataclasses.fields(Flags):
        default = str(field.default).lower() if field.type is bool else field.default
        shown = f'"{default}"' if field.type is str else default
        lines.append(f"\t--{field.name}={shown}\t{names[field.type]}")  # type: ignore[index]
    return "\n".join(lines)
