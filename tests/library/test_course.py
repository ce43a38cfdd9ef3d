"""What a plan refuses before anything is waited for, and how a course is judged."""

from dataclasses import replace
from typing import Any, cast

import pytest

from shakedown.course import Course, Expected, Measured, Monitoring, Shared, exactly, measure, plan, unbroken
from shakedown.ledger import Ledger
from shakedown.observe.alertmanager import Alertmanager, Delivery, Sink
from shakedown.observe.prometheus import Alert, NoData, Prometheus, Rule, Series, Target
from shakedown.timing import BUSY_S, HINDSIGHT, Stage
from shakedown.verdict import Failed

RULE = Rule("g", 5, "alerting", "A", "rate(x_total[15s]) > 1", 15, 0, {"severity": "page"}, {}, "", evaluated=True)
ROUTE = "route: {receiver: hook, group_wait: 1s, group_interval: 5s}"


class Fake:
    """Stands in for Prometheus, Alertmanager and the receiver."""

    def __init__(self, rules: list[Rule], configuration: str = ROUTE) -> None:
        self.loaded, self.text = rules, configuration

    def rules(self) -> list[Rule]:
        if not self.loaded:
            raise NoData("Prometheus has loaded no rule")
        return self.loaded

    def targets(self) -> list[Target]:
        return [Target("pool", {}, up=True, said="", interval=5, timeout=4)]

    def configuration(self) -> str:
        return self.text

    def alerts(self) -> list[Any]:
        return []

    def deliveries(self) -> list[Any]:
        return []


def monitoring(*rules: Rule, configuration: str = ROUTE) -> Monitoring:
    fake = Fake(list(rules), configuration)
    return Monitoring(cast(Prometheus, fake), cast(Alertmanager, fake), cast(Sink, fake), cast(Ledger, None))


def test_a_plan_holds_the_stages_of_the_live_configuration() -> None:
    made = plan(monitoring(RULE), Expected("A"), promised=240)
    assert made.ceiling("evaluated") == 5 + BUSY_S
    assert made.ceiling("fired") == 15 + 5 + BUSY_S
    assert [stage.name for stage in made.stages][:4] == ["seen", "evaluated", "fired", "delivered"]


@pytest.mark.parametrize("query", ['absent(up{job="x"} == 1)', 'wanted > 0 unless on () up{job="x"} == 1'])
def test_what_is_marked_as_gone_in_hindsight_may_be_evaluated_later(query: str) -> None:
    made = plan(monitoring(replace(RULE, query=query)), Expected("A"), promised=240)
    assert made.ceiling("evaluated") == 5 + HINDSIGHT * 5 + BUSY_S


def test_an_alert_that_is_not_loaded_is_named() -> None:
    with pytest.raises(Failed, match="has loaded no alert B"):
        plan(monitoring(RULE), Expected("B"), promised=240)


def test_what_can_not_be_delivered_in_time_is_refused_before_anybody_waits() -> None:
    slow = replace(RULE, wait=3600)
    with pytest.raises(Failed, match="promised are 240 s: for 3600 s, window 15 s, group_wait 1 s"):
        plan(monitoring(slow), Expected("A"), promised=240)
    late = ROUTE.replace("group_wait: 1s", "group_wait: 1h")
    with pytest.raises(Failed, match="group_wait 3600 s"):
        plan(monitoring(RULE, configuration=late), Expected("A"), promised=240)


TOLD = Delivery(1, "firing", {"alertname": "A"}, {}, {}, 0)
STAGE = Stage("fired", 15, 23, 0, "for")


@pytest.mark.parametrize(("seconds", "says"), [(24.0, "longer than its ceiling"), (5.0, "less than its floor")])
def test_a_stage_beyond_its_bounds_is_named_with_its_formula(seconds: float, says: str) -> None:
    course = Course(RULE, Expected("A"), "proof", (Measured(STAGE, seconds),), TOLD, TOLD)
    with pytest.raises(Failed, match=rf"A: stage fired {seconds:.1f} \(15..23\) took {says}; for"):
        course.assert_in_time()


def test_a_course_in_bounds_tells_each_stages_share() -> None:
    course = Course(RULE, Expected("A"), "proof", (Measured(STAGE, 15.0), Measured(STAGE, 15.0)), TOLD, TOLD)
    course.assert_in_time()
    assert "fired 15.0 (15..23) = 50%" in str(course)


def test_an_expected_alert_is_known_by_its_labels() -> None:
    expected = Expected("A", {"pod": "x"})
    assert expected.fits({"alertname": "A", "pod": "x", "job": "y"})
    assert not expected.fits({"alertname": "B", "pod": "x"})
    assert not expected.fits({"alertname": "A", "pod": "z"})


def test_a_shared_answer_is_fetched_once_for_all_who_ask_at_once() -> None:
    calls: list[int] = []

    def fetch() -> int:
        calls.append(1)
        return len(calls)

    shared = Shared(fetch)
    assert (shared(), shared()) == (1, 1)


def test_what_is_followed_to_its_end_is_known_by_labels_that_its_expression_gives_too() -> None:
    inside = {"alertname": "A", "pod": "x", "severity": "page"}
    seen = monitoring(RULE)
    seen.alerts.fetch = lambda: [Alert(inside, "firing", 1.0)]
    first = replace(TOLD, labels={**inside, "prometheus": "outside"})
    exact = exactly(seen, plan(seen, Expected("A"), promised=240), first)
    assert exact.expected.fits({"pod": "x", **RULE.labels})
    assert exact.expected.fits(first.labels)
    assert not exact.expected.fits({"pod": "y", **RULE.labels})


class Held(Fake):
    """Prometheus that holds when its rule's expression was true, and when evaluations found the alert firing."""

    def __init__(self, true: range, firing: list[int]) -> None:
        super().__init__([replace(RULE, wait=0)])
        self.true, self.firing = true, firing

    def history(self, *_: Any) -> list[Series]:
        return [Series({}, tuple((float(at), 1.0) for at in self.true))]

    def points(self, selector: str, _: int) -> list[Series]:
        at = self.firing if "firing" in selector else []
        return [Series({"alertname": "A"}, tuple((float(one), 1.0) for one in at))]


def taken(firing: list[int]) -> dict[str, float]:
    fake = Held(range(103, 203), firing)
    seen = Monitoring(cast(Prometheus, fake), cast(Alertmanager, fake), cast(Sink, fake), cast(Ledger, None))
    told = (replace(TOLD, at=108), replace(TOLD, status="resolved", at=216))
    found = measure(seen, plan(seen, Expected("A"), promised=240), (90.0, 100.0, 200.0), told)
    return {one.stage.name: one.seconds for one in found}


def test_each_stage_is_measured_from_the_samples_of_its_moments() -> None:
    assert taken(list(range(106, 207, 5))) == {
        "seen": 3, "evaluated": 3, "fired": 0, "delivered": 2, "cleared": 3, "ended": 8, "told": 5
    }  # fmt: skip


def test_an_alert_that_ends_while_its_cause_lasts_is_refused() -> None:
    with pytest.raises(Failed, match=r"A ended while its cause lasted, and fired again 40.0 s after it first did"):
        taken([*range(106, 127, 5), *range(146, 207, 5)])


def test_a_condition_holds_since_its_last_gap() -> None:
    assert unbroken([1, 2, 3], until=3.4, gap=2) == 1
    assert unbroken([1, 2, 20, 21, 30], until=22, gap=2) == 20, "true for a moment long before is not what fired"
    assert unbroken([], until=7, gap=2) == 7
