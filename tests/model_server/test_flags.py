"""The table of flags and the start-up, row by row; each test starts a server of its own."""

import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from model_server.flags import Flags, parse
from tests.model_server.client import Client, error_of, floats, grpc_error, predict_request, until
from tests.model_server.conftest import Launch

FAILED = 255
DEFAULTS = {
    "port": 8500,
    "rest_api_port": 0,
    "grpc_socket_path": "",
    "rest_api_timeout_in_ms": 30000,
    "model_name": "default",
    "model_base_path": "",
    "model_config_file": "",
    "model_config_file_poll_wait_seconds": 0,
    "file_system_poll_wait_seconds": 1,
    "max_num_load_retries": 5,
    "load_retry_interval_micros": 60_000_000,
    "enable_batching": False,
    "batching_parameters_file": "",
    "monitoring_config_file": "",
    "enable_model_warmup": True,
    "allow_version_labels_for_unavailable_models": False,
    "ssl_config_file": "",
    "enable_grpc_healthcheck_service": False,
    "grpc_channel_arguments": "",
    "flush_filesystem_caches": True,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_flag_has_its_default(name: str) -> None:
    assert getattr(Flags(), name) == DEFAULTS[name]


def test_bools_are_read_bare_and_with_a_value() -> None:
    assert parse(["--enable_batching"]).flags.enable_batching
    assert parse(["--enable_batching=true"]).flags.enable_batching
    assert not parse(["--enable_model_warmup=false"]).flags.enable_model_warmup


def test_the_version_is_printed(launch: Launch) -> None:
    server = launch("--version", ports=False)
    assert server.exit_code() == 0
    assert re.match(r"TensorFlow ModelServer: \S+\nTensorFlow Library: \S+\n", server.text())


def test_a_bad_value_prints_usage_and_ends(launch: Launch) -> None:
    server = launch("--port=many", ports=False)
    assert server.exit_code() == FAILED
    assert "--model_base_path=" in server.text()


def test_an_unknown_flag_prints_usage_and_the_start_goes_on(launch: Launch) -> None:
    server = launch("--colour=red", "--size=9", ports=False)
    assert server.exit_code() == FAILED
    assert "unknown argument: --colour=red" in server.text()
    assert "Failed to start server. Error: INVALID_ARGUMENT: Both server_options.model_base_path" in server.text()


CONTRADICTIONS = {
    "no port": (["--port=0", "--model_base_path=/m"], "server_options.grpc_port is not set."),
    "batching file alone": (
        ["--batching_parameters_file=/b", "--model_base_path=/m"],
        "server_options.batching_parameters_file is set without setting server_options.enable_batching to true.",
    ),
    "no such file": (["--model_config_file=/no/such"], "Failed to start server. Error: NOT_FOUND: /no/such"),
    "relative path": (["--model_base_path=models"], "to have an absolute path or URI; got base_path()=models"),
}


@pytest.mark.parametrize("row", CONTRADICTIONS)
def test_flags_that_contradict_each_other_stop_the_start(launch: Launch, row: str) -> None:
    flags, text = CONTRADICTIONS[row]
    server = launch(*flags, ports=False)
    assert server.exit_code() == FAILED
    assert text in server.text()


def test_a_text_proto_that_is_none_stops_the_start(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text('{"enable_batching": true}')
    server = launch(f"--model_config_file={tmp_path}/models.config")
    assert server.exit_code() == FAILED
    assert f"INVALID_ARGUMENT: Invalid protobuf file: '{tmp_path}/models.config'" in server.text()


def test_a_model_that_does_not_load_ends_the_process_after_its_retries(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    server = launch(
        f"--model_base_path={tmp_path}/m",
        "--model_name=m",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=100000",
    )
    assert server.exit_code() == FAILED
    expected = "1 servable(s) did not become available: {{{name: m version: 1} due to error: NOT_FOUND: Could not find"
    assert expected in server.text()
    assert server.text().count("Loading servable: {name: m version: 1} failed") == 2


def test_labels_in_the_first_config_stop_the_start(launch: Launch, raw: Path, tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{raw}/linear" model_platform: "tensorflow"'
        ' version_labels { key: "stable" value: 1 } } }'
    )
    server = launch(f"--model_config_file={tmp_path}/models.config")
    assert server.exit_code() == FAILED
    expected = "FAILED_PRECONDITION: Request to assign label to version 1 of model m, which is not currently available"
    assert expected in server.text()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_no_port_is_open_before_the_first_model_is_loaded(launch: Launch, raw: Path, tmp_path: Path) -> None:
    base = tmp_path / "m"
    base.mkdir()
    server = launch(f"--model_base_path={base}")
    server.wait_for("No versions of servable default found under base path")
    time.sleep(1.5)  # it waits for a version, however long that takes
    assert not is_open(server.address.rest)
    assert not is_open(server.address.grpc)
    (base / "1").symlink_to(raw / "linear" / "1")
    assert server.ready().predict("default", {"instances": [[1.0]]}).status_code == 200


@pytest.fixture
def special(launch: Launch, raw: Path, tmp_path: Path) -> Client:
    """A server with most of the rarer flags."""
    self_config = tmp_path / "models.config"
    self_config.write_text((raw / "models.config").read_text().replace("/models/raw", str(raw)))
    server = launch(
        f"--model_config_file={self_config}",
        "--model_config_file_poll_wait_seconds=1",
        f"--grpc_socket_path={tmp_path}/socket",
        "--enable_grpc_healthcheck_service",
        "--rest_api_timeout_in_ms=300",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=600000",
    )
    client = server.ready()
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{server.process.pid}/status").read_text())
    assert caught
    for number in (signal.SIGTERM, signal.SIGINT):
        assert not int(caught[1], 16) >> (number - 1) & 1, f"{number.name} has a handler; the real server has none"
    return client


def test_the_rarer_flags_are_in_force(special: Client, tmp_path: Path) -> None:
    """Health service, unix socket, REST timeout, no metrics without their file, and the poll of the configuration."""
    health = health_pb2_grpc.HealthStub(special.channel)
    for service in ("ModelService", "PredictionService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == 1
    with grpc.insecure_channel(f"unix:{tmp_path}/socket") as channel:
        method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")  # type: ignore[var-annotated]
        assert method(predict_request("linear", {"x": floats([1.0])}).SerializeToString())
    slow = special.predict("mixed", {"signature_name": "slow", "inputs": [200_000]})
    assert error_of(slow) == (504, "Timed out waiting for notification")
    assert special.get("/monitoring/prometheus/metrics").status_code == 404
    config = tmp_path / "models.config"
    config.write_text(config.read_text().replace('name: "text"', 'name: "renamed"'))
    until(lambda: special.predict("renamed", {"instances": ["a"]}).status_code == 200)
    until(lambda: special.predict("text", {"instances": ["a"]}).status_code == 404)


def pem(text: str) -> str:
    return text.replace("\n", "\\n")


def test_grpc_speaks_tls_where_the_ssl_config_says_so(launch: Launch, raw: Path, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    config = f'server_key: "{pem(key.read_text())}"\nserver_cert: "{pem(cert.read_text())}"\nclient_verify: false\n'
    (tmp_path / "ssl.config").write_text(config)
    server = launch(f"--model_base_path={raw}/linear", f"--ssl_config_file={tmp_path}/ssl.config")
    plain = server.ready()
    request = predict_request("default", {"x": floats([1.0])})
    with grpc.secure_channel(
        f"localhost:{server.address.grpc}", grpc.ssl_channel_credentials(cert.read_bytes())
    ) as channel:
        method: Any = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        assert method(request.SerializeToString(), timeout=10)
    assert grpc_error(plain.prediction.Predict, request)[0] == "UNAVAILABLE"
