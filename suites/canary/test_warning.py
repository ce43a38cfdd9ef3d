"""Somebody is told of a canary that does its users harm."""

from pathlib import Path

import pytest

from fixtures.canary import Canary, proven_down
from fixtures.verdicts import Evidence
from shakedown.course import Expected, Monitoring, follow
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed
ROOT = Path(__file__).parents[2]
ALERT = "CanaryDegraded"
RULES_S = 120.0  # the operator's ConfigMap reaches Prometheus' pod at the kubelet's next sync, a minute apart


@pytest.fixture
def loaded(canary: Canary, monitoring: Monitoring) -> None:  # noqa: ARG001 - its rule came with the canary
    """The canary's alert is loaded and silent: a Prometheus that watches for rules takes a minute to see one."""

    def silent() -> None:
        known = {rule.name for rule in monitoring.prometheus.rules() if rule.evaluated}
        active = {f"{alert.name} {alert.state}" for alert in monitoring.alerts() if alert.name == ALERT}
        if ALERT not in known or active:
            raise NotYet(f"{', '.join(active) or 'not loaded'}; does Prometheus select the canary's PrometheusRule?")

    eventually(silent, within=RULES_S, awaited=f"alert {ALERT} is loaded and silent")


@pytest.mark.usefixtures("loaded")
def test_alert_for_a_degraded_canary_fires_reaches_the_receiver_and_ends(
    canary: Canary, monitoring: Monitoring, promised: float, evidence: Evidence
) -> None:
    """A canary without a server brings its alert to the receiver in the time that its configuration promises."""
    expected = Expected(ALERT, {"namespace": canary.names.namespace, "severity": "warning"})
    (course,) = follow(monitoring, [expected], promised, proven_down(canary))
    link = course.first.annotations["runbook_url"]
    assert (ROOT / link).is_file(), f"{ALERT} links to {link}, which is not there"
    course.assert_in_time()
    evidence(str(course))
