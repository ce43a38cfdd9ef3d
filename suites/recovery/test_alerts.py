"""Nobody is woken by what users don't notice. What must be told, and how soon, is the alerting suite's."""

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.faults.pods import PodDeleted, Victim
from shakedown.ledger import now
from shakedown.observe.prometheus import NoData, Prometheus
from shakedown.pace import Pace
from shakedown.recovery import rid_of

pytestmark = pytest.mark.test_bed
WATCHDOG = 'ALERTS{alertname="Watchdog", alertstate="firing"}'
PAGES = 'ALERTS{severity="critical", alertstate="firing"}'


def fired(prometheus: Prometheus, selector: str, seconds: float) -> set[str]:
    """The names of the alerts that fired in the last seconds."""
    try:
        return {each.labels["alertname"] for each in prometheus.points(selector, int(seconds) + 1)}
    except NoData:
        return set()


def test_server_that_drains_pages_nobody(
    arena: Arena, victim: Victim, prometheus: Prometheus, pace: Pace, evidence: Evidence
) -> None:
    """A server is deleted and replaced, and no critical alert fires for as long as one could still come of it."""
    critical = [rule for rule in prometheus.rules() if rule.labels.get("severity") == "critical"]
    assert critical, "no critical alert is loaded: nobody would be paged for anything"
    latest = max(rule.wait + 2 * rule.interval for rule in critical)
    began, gone = now(), Expected(rid_of([victim.pod.name], victim.out_of), pace.drained)
    course = arena.run(PodDeleted(victim), {victim.pod.name}, gone, lasting=latest)
    assert fired(prometheus, WATCHDOG, now() - began), "no alert was evaluated meanwhile, not even the Watchdog"
    paged = fired(prometheus, PAGES, now() - began)
    assert not paged, f"{', '.join(sorted(paged))} fired although {course.told()}"
    course.require_no_loss()
    evidence(f"{len(critical)} critical alerts, none fired within {latest:.0f} s of the recovery; {course.told()}")
