"""The metrics table, row by row."""

import pytest

from tests.model_server.client import Client, floats

COUNT = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
FAMILIES = {
    COUNT: "counter",
    LATENCY: "histogram",
    ":tensorflow:serving:runtime_latency": "histogram",
    ":tensorflow:serving:request_example_counts": "histogram",
    ":tensorflow:serving:request_example_count_total": "counter",
    ":tensorflow:serving:model_warmup_latency": "histogram",
    ":tensorflow:serving:batching_session:queuing_latency": "histogram",
    ":tensorflow:core:graph_runs": "counter",
    ":tensorflow:core:graph_run_time_usecs": "counter",
    ":tensorflow:cc:saved_model:load_attempt_count": "counter",
    ":tensorflow:cc:saved_model:load_latency": "counter",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_each_metric_is_exported_with_its_type(client: Client, name: str) -> None:
    page = client.get("/monitoring/prometheus/metrics")
    assert page.headers["Content-Type"].startswith("text/plain")
    assert f"# TYPE {name} {FAMILIES[name]}" in page.text.splitlines()
    assert "# HELP" not in page.text


def test_the_usual_path_of_metrics_has_none(client: Client) -> None:
    assert client.get("/metrics").status_code == 404


def test_rest_predictions_are_counted_by_status_and_timed_where_they_succeed(client: Client) -> None:
    def counts() -> list[float]:
        return [
            client.metric(COUNT, model_name="linear", status="OK"),
            client.metric(COUNT, model_name="linear", status="INVALID_ARGUMENT"),
            client.metric(f"{LATENCY}_count", model_name="linear", API="predict", entrypoint="REST"),
        ]

    before = counts()
    client.predict("linear", {"instances": [[1.0]]})
    client.predict("linear", {})
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1]


def test_a_status_get_raises_request_count_with_an_empty_api(client: Client) -> None:
    def counts() -> list[float]:
        return [
            client.metric(COUNT, model_name="linear", status="OK"),
            client.metric(f"{LATENCY}_count", model_name="linear", API="", entrypoint="REST"),
        ]

    before = counts()
    client.get("/v1/models/linear")
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1]


def test_grpc_predictions_are_counted_under_their_own_names(client: Client) -> None:
    def counts() -> list[float]:
        return [
            client.metric(COUNT, model_name="linear", status="OK"),
            client.metric(f"{LATENCY}_count", model_name="linear", API="Predict", entrypoint="GRPC"),
            client.metric(":tensorflow:serving:runtime_latency_count", model_name="linear", API="Predict"),
        ]

    before = counts()
    client.grpc_predict("linear", {"x": floats([1.0])})
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1]


def test_latency_has_33_limits_growing_by_1_8_and_then_infinity(client: Client) -> None:
    client.predict("linear", {"instances": [[1.0]]})
    lines = client.get("/monitoring/prometheus/metrics").text.splitlines()
    series = f'{LATENCY}_bucket{{model_name="linear",API="predict",entrypoint="REST",le='
    limits = [line.removeprefix(series).split('"')[1] for line in lines if line.startswith(series)]
    assert limits[:4] == ["10", "18", "32.4", "58.32"]
    assert len(limits) == 34
    assert limits[-1] == "+Inf"


def test_examples_are_counted(client: Client) -> None:
    name = ":tensorflow:serving:request_example_count_total"
    before = client.metric(name, model="linear")
    client.post("/v1/models/linear:regress", {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}] * 3})
    assert client.metric(name, model="linear") - before == 3
