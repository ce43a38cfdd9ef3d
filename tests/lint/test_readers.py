from decimal import Decimal

import pytest

from shakedown.lint import promql, protos
from shakedown.lint.durations import differences, is_shorter_duration
from shakedown.lint.objects import Obj
from shakedown.lint.quantity import quantity, seconds
from shakedown.lint.server import Server, is_server
from shakedown.lint.workload import Container, Workload


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", Decimal("0.25")),
        ("1.5Gi", Decimal(3 * 2**29)),
        ("2e3", Decimal(2000)),
        ("1M", Decimal(10**6)),
        (3, Decimal(3)),
        ("much", None),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: object, value: Decimal | None) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize(("text", "value"), [("1m30s", 90), ("500ms", 0.5), ("2d", 172800), ("5", None), ("5 s", None)])
def test_durations_are_read_as_prometheus_reads_them(text: str, value: float | None) -> None:
    assert seconds(text) == value


def test_the_text_protos_of_the_server_parse() -> None:
    text = 'model_config_list { config { name: "a" base_path: "/a" model_version_policy { all {} } } }'
    assert protos.parse("ModelServerConfig", text).model_config_list.config[0].name == "a"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ModelServerConfig", '{"model_config_list": {}}'),
        ("BatchingParameters", "max_batch_size: 8"),
        ("ModelServerConfig", "model_version_policy { all {} latest {} }"),
        ("ModelServerConfig", "model_config_list { config { model_version_policy { all {} latest {} } } }"),
        ("MonitoringConfig", "prometheus { enable: true }"),
    ],
)
def test_what_the_server_would_refuse_is_refused_with_its_place(name: str, text: str) -> None:
    with pytest.raises(protos.TextProtoError, match=r"^1:\d+"):
        protos.parse(name, text)


def test_a_command_line_is_read_as_the_server_reads_it() -> None:
    line = "exec tensorflow_model_server --port=9000 --rest_api_port=9001 --rest_api_port=9002 --enable_batching"
    container = Container({"name": "s", "image": "own:1", "command": ["sh", "-c"], "args": [line]}, "containers[s]")
    server = Server(Workload(Obj({"kind": "Pod"}, "")), container)
    assert is_server(container)
    assert (server.grpc_port, server.rest_port, server.flags["enable_batching"]) == (9000, 9002, "true")


def test_the_entrypoint_of_the_image_brings_its_ports_and_model() -> None:
    container = Container(
        {"name": "s", "image": "tensorflow/serving:2.19.1", "env": [{"name": "MODEL_NAME", "value": "a"}]}, ""
    )
    server = Server(Workload(Obj({"kind": "Pod"}, "")), container)
    assert (server.rest_port, server.model) == (8501, ("a", "/models/a"))


def test_series_and_comparisons_of_an_expression_are_found() -> None:
    expr = promql.parse('sum by (pod) (rate(a:b{job="x"}[5m])) > 0.5 * 4 or absent(up{job="x"})')
    found = list(promql.series(expr))
    assert [(s.metric, s.range_s, s.inside) for s in found] == [("a:b", 300.0, ("sum", "rate")), ("up", 0, ("absent",))]
    assert [(op, value) for _, op, value in promql.comparisons(expr)] == [(">", 2.0)]


@pytest.mark.parametrize(
    ("path", "before", "after", "shorter"),
    [
        ("spec.x.periodSeconds", 10, 2, True),
        ("spec.x.periodSeconds", 2, 10, False),
        ("spec.replicas", 2, 1, False),
        ("spec.args[0]", "--poll_wait_seconds=30", "--poll_wait_seconds=5", True),
        ("spec.args[0]", "--wait=30s --port=1", "--wait=5s --port=2", False),
        ("spec.expr", "rate(x[5m]) > 1", "rate(x[15s]) > 1", True),
        ("spec.expr", "x offset 5m > 1", "x offset  > 1", False),
        ("spec.name", "config-abcdefgh12", "config-abcdefgh34", True),
        ("spec.image", "a:1", "a:2", False),
    ],
)
def test_only_a_shorter_duration_passes_for_one(path: str, before: object, after: object, *, shorter: bool) -> None:
    assert is_shorter_duration(path, before, after) is shorter


def test_an_object_that_one_side_lacks_is_a_difference() -> None:
    one = {"kind": "Service", "metadata": {"name": "a"}}
    assert [name for name, *_ in differences([one], [])] == ["Service /a"]
