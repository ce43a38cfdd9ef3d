"""Each alert by a real cause: it fires, reaches the receiver, and ends; nothing else does."""

from pathlib import Path

import pytest

from fixtures.alerting import CAUSES, ELSEWHERE, LOUD, OF_A_CANARY, SILENCED, WATCHDOG, Campaign
from fixtures.verdicts import Evidence
from shakedown.course import Monitoring
from shakedown.observe.prometheus import Prometheus
from shakedown.verdict import Inconclusive

pytestmark = pytest.mark.test_bed  # nodes are cordoned and monitoring is taken apart: not in a cluster of yours
ROOT = Path(__file__).parents[2]


def test_every_alert_that_is_loaded_has_a_cause_here(prometheus: Prometheus, evidence: Evidence) -> None:
    """An alert that nobody has ever seen firing is a guess: each has a test that causes it."""
    loaded = {rule.name for rule in prometheus.rules() if rule.kind == "alerting"}
    known = {*CAUSES, *ELSEWHERE, WATCHDOG}
    uncaused = sorted(loaded - known - OF_A_CANARY)
    assert not uncaused, f"no test causes {uncaused}; add a cause to fixtures/alerting.py"
    assert not known - loaded, f"not loaded in Prometheus: {sorted(known - loaded)}; is the PrometheusRule selected?"
    evidence(f"{len(loaded)} alerts loaded, each is caused")


@pytest.mark.parametrize("alert", CAUSES)
def test_alert_fires_reaches_the_receiver_and_ends(campaign: Campaign, alert: str, evidence: Evidence) -> None:
    """A real cause brings the alert to its receiver in the time that its configuration promises, and its end too."""
    course = campaign.course(alert)
    texts = course.first.annotations
    assert texts["summary"]
    assert texts["description"]
    assert (ROOT / texts["runbook_url"]).is_file(), f"{alert} links to {texts['runbook_url']}, which is not there"
    assert course.first.group["alertname"] == alert
    assert course.last.labels == course.first.labels
    course.assert_in_time()
    evidence(str(course))


@pytest.mark.parametrize("alert", ["ModelVersionNotAvailable"])
def test_alerts_of_one_kind_arrive_together(
    campaign: Campaign, monitoring: Monitoring, alert: str, evidence: Evidence
) -> None:
    """Three servers with one trouble are one notification, not three."""
    group = campaign.course(alert).first.group
    told = [d for d in monitoring.sink.deliveries() if d.at >= campaign.began and d.name == alert and d.group == group]
    sizes = {batch: len({d.labels["pod"] for d in told if d.batch == batch}) for batch in {d.batch for d in told}}
    assert max(sizes.values()) >= 2, f"no notification held more than one of the alerts: {sizes}"
    assert {d.labels["namespace"] for d in told} == {group["namespace"]}
    evidence(
        f"by {sorted(group)}: {len(told)} alerts in {len(sizes)} notifications, up to {max(sizes.values())} in one"
    )


@pytest.mark.parametrize("alert", ["ServerCrashLooping"])
def test_silenced_alert_fires_but_is_not_delivered(
    campaign: Campaign, monitoring: Monitoring, alert: str, evidence: Evidence
) -> None:
    """A silence holds back the pod that it names, and not the one beside it."""
    campaign.course(alert)
    fired = monitoring.prometheus.history(
        f'ALERTS{{alertname="{alert}",alertstate="firing"}}', campaign.began, campaign.ended
    )
    told = [d for d in monitoring.sink.deliveries() if d.at >= campaign.began and d.name == alert]
    assert {SILENCED, LOUD} <= {one.labels["pod"] for one in fired}, "the silenced alert never fired"
    assert {d.labels["pod"] for d in told} == {LOUD}
    evidence(f"{alert} fired for both pods, {len(told)} deliveries, all for {LOUD}")


def test_nothing_fired_that_was_not_caused(campaign: Campaign, prometheus: Prometheus, evidence: Evidence) -> None:
    """While much goes wrong at once, the alerts that fire are theirs and no other's."""
    if not campaign.courses:
        raise Inconclusive("no cause was asked for in this run, so nothing could fire")
    found = prometheus.history('ALERTS{alertstate="firing"}', campaign.began, campaign.ended, step=2)
    fired = {one.labels["alertname"] for one in found}
    assert WATCHDOG in fired
    strange = [
        dict(one.labels) for one in found if one.labels["alertname"] != WATCHDOG and not campaign.caused(one.labels)
    ]
    assert not strange, f"fired without a cause of theirs: {strange}"
    evidence(f"fired: {sorted(fired)}, {len(found)} alerts in all; each was caused")
