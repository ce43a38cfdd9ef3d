"""Causes put back what they changed, whatever becomes of the test, and are not judged before they bit."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shakedown import causes
from shakedown.causes import DARK, Scene, asked_by, changed, dark, nobody, small_pod
from shakedown.cluster import Cluster
from shakedown.ledger import Ledger
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet


class Api:
    """Stands in for a cluster and its ledger: one object, and every step that was written down."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found, self.steps = found, list[tuple[str, str]]()

    def get(self, _path: str) -> dict[str, Any]:
        return self.found

    def record(self, kind: str, **fields: Any) -> None:
        self.steps.append((kind, fields["step"]))


def scene_of(api: Api) -> Scene:
    return Scene(cast(Cluster, api), cast(Ledger, api), "ns", within=0.1)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = []
    monkeypatch.setattr(causes, "send", lambda _cluster, _method, _path, body: operations.extend(body))
    return operations


def test_a_field_gets_its_old_value_back_when_the_test_fails(sent: list[dict[str, Any]]) -> None:
    api = Api({"spec": {"rules": [{"backendRefs": ["good"]}]}})
    with pytest.raises(AssertionError), changed(scene_of(api), "/x", "/spec/rules/0/backendRefs", ["bad"]):
        raise AssertionError
    assert [(each["op"], each["value"]) for each in sent] == [("add", ["bad"]), ("add", ["good"])]


def test_a_field_that_was_not_there_goes_again(sent: list[dict[str, Any]]) -> None:
    with changed(scene_of(Api({"spec": {}})), "/x", "/spec/unschedulable", value=True):
        pass
    assert [each["op"] for each in sent] == ["add", "remove"]


def test_a_cause_that_never_bites_is_not_judged() -> None:
    def never() -> str:
        raise NotYet("nothing happened")

    with pytest.raises(Inconclusive, match=r"the cause never came about, .* nothing happened"):
        scene_of(Api({})).proven("cause", "target", never)


def test_a_proof_is_written_down() -> None:
    api = Api({})
    assert scene_of(api).proven("cause", "target", lambda: "it bit") == "it bit"
    assert api.steps == [("fault", "proven")]


def test_bad_services_lead_to_nobody_and_into_the_dark() -> None:
    (empty,) = nobody("x")
    assert empty["spec"]["selector"]
    service, endpoints = dark("x")
    assert "selector" not in service["spec"]  # or the API server would put real addresses in
    assert endpoints["endpoints"][0]["addresses"] == [DARK]
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]


def test_a_small_pod_asks_for_what_it_may_have_and_is_selected_by_no_service() -> None:
    pod = small_pod("p", "true", {"cpu": "100m"}, "tensorflow-serving")
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"] == {"cpu": "100m"}
    assert set(pod["metadata"]["labels"]) == {"shakedown.dev/cause"}


def container(cpu: str | None) -> SimpleNamespace:
    return SimpleNamespace(resources=SimpleNamespace(requests={"cpu": cpu} if cpu else None))


@pytest.mark.parametrize(
    ("containers", "init", "cores"),
    [(["100m", "0.2"], None, "0.3"), ([None], None, "0"), (["100m"], ["1", "50m"], "1")],
)
def test_a_pod_keeps_from_others_what_it_asks_for(
    containers: list[str | None], init: list[str] | None, cores: str
) -> None:
    spec = SimpleNamespace(
        containers=[container(cpu) for cpu in containers],
        init_containers=init and [container(cpu) for cpu in init],
    )
    assert asked_by(SimpleNamespace(spec=spec)) == Decimal(cores)
