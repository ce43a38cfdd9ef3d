"""The HPA's formula, as Kubernetes states it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.autoscaling import Scaler, cpu_request, require_cpu_since, scaler_of
from shakedown.verdict import Failed
from shakedown.wait import NotYet

HPA: dict[str, Any] = {
    "metadata": {"name": "servers"},
    "spec": {
        "minReplicas": 3,
        "maxReplicas": 6,
        "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 70}}},
            {
                "type": "External",
                "external": {
                    "metric": {"name": "requests_per_second", "selector": {"matchLabels": {"backend": "servers"}}},
                    "target": {"type": "AverageValue", "averageValue": "20"},
                },
            },
        ],
        "behavior": {
            "scaleDown": {
                "stabilizationWindowSeconds": 30,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}],
            }
        },
    },
}
SCALER = scaler_of(HPA)


@pytest.mark.parametrize(
    ("replicas", "total", "asked"),
    [(3, 92, 5), (4, 92, 5), (5, 92, 5), (6, 92, 5), (3, 65, 3), (3, 67, 4), (5, 109, 5), (3, 0, 3), (3, 999, 6)],
)
def test_replicas_follow_the_total_outside_of_the_tolerance(replicas: int, total: float, asked: int) -> None:
    assert SCALER.proposal(replicas, total, SCALER.rate) == asked


@given(replicas=st.integers(1, 50), total=st.floats(0, 10_000), target=st.floats(1, 500))
def test_what_is_proposed_is_kept_once_it_is_reached(replicas: int, total: float, target: float) -> None:
    proposed = SCALER.proposal(replicas, total, target)
    assert SCALER.least <= proposed <= SCALER.most
    if abs(total / (target * replicas) - 1) > 0.1:
        assert SCALER.rests(proposed, total, target)


def test_the_configuration_is_read_from_the_live_object() -> None:
    assert Scaler("servers", 3, 6, 70.0, "requests_per_second", "backend=servers", 20.0, 30.0, 1, 5.0) == SCALER


def test_a_value_in_place_of_an_average_value_is_named() -> None:
    metrics = [HPA["spec"]["metrics"][0], {"type": "External", "external": {"target": {"value": "20"}}}]
    with pytest.raises(Failed, match="a Value isn't divided by the replicas"):
        scaler_of({**HPA, "spec": {**HPA["spec"], "metrics": metrics}})


def test_a_target_of_memory_is_not_taken_for_one_of_cpu() -> None:
    memory = {"type": "Resource", "resource": {"name": "memory", "target": {"averageUtilization": 85}}}
    assert scaler_of({**HPA, "spec": {**HPA["spec"], "metrics": [*HPA["spec"]["metrics"], memory]}}) == SCALER


@pytest.mark.parametrize(
    "behavior",
    [
        {},
        {"scaleDown": {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 5}]}},
        {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}},
    ],
)
def test_a_way_back_that_is_not_judged_is_named(behavior: dict[str, Any]) -> None:
    with pytest.raises(Failed, match=r"HorizontalPodAutoscaler servers: spec\.behavior\.scaleDown must have"):
        scaler_of({**HPA, "spec": {**HPA["spec"], "behavior": behavior}})


def test_what_a_load_would_need_knows_no_maximum() -> None:
    assert SCALER.asks_for(6, 240, 20) == 12
    assert SCALER.proposal(6, 240, 20) == 6


def test_an_autoscaler_without_room_is_named() -> None:
    SCALER.require_room()
    with pytest.raises(Failed, match="maxReplicas 3 leaves no room above minReplicas 3"):
        replace(SCALER, most=3).require_room()


def deployment(*requests: dict[str, str]) -> dict[str, Any]:
    containers = [{"name": f"c{i}", "resources": {"requests": each}} for i, each in enumerate(requests)]
    return {"metadata": {"name": "servers"}, "spec": {"template": {"spec": {"containers": containers}}}}


def test_cpu_request_is_the_sum_of_all_containers() -> None:
    assert cpu_request(deployment({"cpu": "100m"}, {"cpu": "1"})) == pytest.approx(1.1)


def test_a_container_that_asks_for_no_cpu_is_named() -> None:
    with pytest.raises(Failed, match=r"Deployment servers: container c1 has no resources\.requests\.cpu"):
        cpu_request(deployment({"cpu": "1"}, {"memory": "1Gi"}))


class Served:
    """A cluster whose resource metrics are these."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = items

    def get(self, _: str) -> dict[str, Any]:
        return {"items": list(self.items)}


def measured(until: str) -> dict[str, Any]:
    return {"metadata": {"name": "s-1"}, "timestamp": until, "window": "10.5s", "containers": []}


def test_cpu_is_that_of_after_a_load_once_its_window_began_later() -> None:
    ended = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    require_cpu_since(Served(measured("2026-01-01T00:00:11Z")), "n", "app=s", ended)  # type: ignore[arg-type]
    with pytest.raises(NotYet, match=r"s-1's is that of the 10.5s until 2026-01-01T00:00:10Z"):
        require_cpu_since(Served(measured("2026-01-01T00:00:10Z")), "n", "app=s", ended)  # type: ignore[arg-type]
    with pytest.raises(NotYet, match="no CPU of any pod"):
        require_cpu_since(Served(), "n", "app=s", ended)  # type: ignore[arg-type]
