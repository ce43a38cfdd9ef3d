"""The batching table, row by row."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.model_server.client import Client, Process, error_of, floats

PARAMETERS = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 150000 }
max_enqueued_batches { value: 2 }
num_batch_threads { value: 1 }
allowed_batch_sizes: 4
allowed_batch_sizes: 8
thread_pool_name { value: "pool" }
"""
RUNS = ":tensorflow:core:graph_runs"
QUEUED = ":tensorflow:serving:batching_session:queuing_latency_count"


@pytest.fixture(scope="module")
def batched(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with small batches and one thread."""
    folder = tmp_path_factory.mktemp("batched")
    (folder / "batching").write_text(PARAMETERS)
    (folder / "models").write_text((raw / "models.config").read_text().replace("/models/raw", str(raw)))
    server = Process(
        folder,
        f"--model_config_file={folder}/models",
        "--enable_batching",
        f"--batching_parameters_file={folder}/batching",
        f"--monitoring_config_file={raw}/monitoring.config",
        "--rest_api_timeout_in_ms=400",
    )
    try:
        yield server.ready()
    finally:
        server.kill()


def test_requests_of_both_protocols_share_a_batch_and_get_their_own_rows(batched: Client) -> None:
    runs, queued = batched.metric(RUNS), batched.metric(QUEUED, thread_pool_name="pool")

    def ask(value: int) -> float:
        if value % 2:
            return float(batched.grpc_predict("linear", {"x": floats([value])}).outputs["y"].float_val[0])
        return float(batched.predict("linear", {"instances": [[float(value)]]}).json()["predictions"][0][0])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert answers == [value / 2 + 2 for value in range(8)]
    assert batched.metric(QUEUED, thread_pool_name="pool") - queued == 8
    assert batched.metric(RUNS) - runs < 4


def test_a_full_batch_does_not_wait_and_a_small_one_is_padded_unseen(batched: Client) -> None:
    whole = batched.predict("linear", {"instances": [[1.0]] * 8})
    assert whole.elapsed.total_seconds() < 0.15
    assert batched.predict("linear", {"instances": [[1.0]] * 3}).json() == {"predictions": [[2.5]] * 3}


def test_a_request_larger_than_a_batch_is_refused(batched: Client) -> None:
    found = error_of(batched.predict("linear", {"instances": [[1.0]] * 9}))
    assert found == (400, "Task size 9 is larger than maximum input batch size 8")


def test_a_full_queue_is_unavailable_and_a_wait_past_the_deadline_is_exhausted(batched: Client) -> None:
    body = {"signature_name": "slow", "inputs": [100_000] * 8}
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: batched.predict("mixed", body), range(6)))
    refused = [error_of(answer) for answer in found if answer.status_code == 503]
    assert refused
    assert set(refused) == {(503, "The batch scheduling queue to which this task was submitted is full")}
    late = [error_of(answer) for answer in found if answer.status_code == 429]
    assert late
    assert set(late) == {(429, "Run() timeout exceeded while waiting in batching queue")}


def test_the_error_of_a_batch_is_every_requests(batched: Client) -> None:
    found = batched.predict("mixed", {"inputs": {"a": [[1.0, 2.0]] * 2, "b": [[1.0]] * 3}})
    assert error_of(found) == (400, "Batching session Run() input tensors must have equal 0th-dimension size")
