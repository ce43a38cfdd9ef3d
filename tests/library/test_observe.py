"""What the clients of Prometheus, Alertmanager and the receiver make of answers, and of none."""

from contextlib import ExitStack
from typing import Any, cast

import pytest
import requests

from shakedown.observe.alertmanager import Sink
from shakedown.observe.alerts import at_the_sink, in_prometheus
from shakedown.observe.link import Link, Unreachable
from shakedown.observe.prometheus import NoData, Prometheus
from shakedown.verdict import Failed


class Said:
    """Stands in for a link: answers by path."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def get(self, path: str, **_params: str) -> Any:
        return self.answers[path.rpartition("/")[2]]


def link(**answers: Any) -> Link:
    return cast(Link, Said(**answers))


def prometheus(**data: Any) -> Prometheus:
    return Prometheus(link(**{name: {"data": value} for name, value in data.items()}))


def vector(*values: float) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": {"n": str(v)}, "value": [1.0, str(v)]} for v in values]}


def test_a_query_without_data_raises_and_never_passes() -> None:
    with pytest.raises(NoData, match="query without data: up == 0"):
        prometheus(query=vector()).query("up == 0")
    with pytest.raises(NoData, match="no sample in 60 s of: up"):
        prometheus(query=vector()).points("up", 60)
    with pytest.raises(NoData, match="has loaded no rule"):
        prometheus(rules={"groups": []}).rules()
    with pytest.raises(NoData, match="has no target"):
        prometheus(targets={"activeTargets": []}).targets()


def test_one_value_is_one_and_several_are_refused() -> None:
    assert prometheus(query=vector(2.5)).value("x") == 2.5
    with pytest.raises(Failed, match="2 series where one was asked for"):
        prometheus(query=vector(1, 2)).value("x")


ALERT = {"labels": {"alertname": "A"}, "state": "pending", "activeAt": "2026-01-01T00:00:00.5Z"}


def test_alerts_are_seen_with_state_and_a_farewell() -> None:
    (sight,) = in_prometheus(prometheus(alerts={"alerts": [ALERT]}))()
    assert (sight.fields["alertname"], sight.fields["state"]) == ("A", "pending")
    assert sight.at is not None
    assert sight.farewell is not None
    assert sight.farewell["state"] == "inactive"


def test_each_delivery_is_seen_by_alert_and_time() -> None:
    def payload(*statuses: str) -> dict[str, Any]:
        return {"alerts": [{"status": s, "labels": {"alertname": "A"}, "annotations": {}} for s in statuses]}

    sink = Sink(
        link(deliveries=[{"at": 9.0, "payload": payload("resolved")}, {"at": 5.0, "payload": payload("firing")}])
    )
    assert [(d.at, d.status, d.batch) for d in sink.deliveries()] == [(5.0, "firing", 0), (9.0, "resolved", 1)]
    assert [sight.fields["state"] for sight in at_the_sink(sink)()] == ["delivered", "resolved"]


def test_a_link_opens_a_new_tunnel_after_the_old_one_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def open_tunnel(_life: ExitStack) -> int:
        opened.append(len(opened) + 1)
        return opened[-1]

    def request(_method: str, url: str, **_options: Any) -> requests.Response:
        if ":1/" in url:
            raise requests.ConnectionError("refused")
        answer = requests.Response()
        answer.status_code, answer._content = 200, b'{"fine": true}'
        return answer

    monkeypatch.setattr(requests, "request", request)
    way = Link("monitoring/x", open_tunnel)
    with pytest.raises(Unreachable, match="monitoring/x doesn't answer: ConnectionError"):
        way.send("POST", "/")
    assert opened == [1]
    way = Link("monitoring/x", open_tunnel)
    opened.clear()
    assert way.get("/") == {"fine": True}
    assert opened == [1, 2]


def test_a_refused_request_says_what_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = requests.Response()
    answer.status_code, answer._content = 400, b"bad matcher"
    monkeypatch.setattr(requests, "request", lambda *_a, **_o: answer)
    with pytest.raises(Failed, match="HTTP 400: bad matcher"):
        Link("x", lambda _life: 1).get("/")
