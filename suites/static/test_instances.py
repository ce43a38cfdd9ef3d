import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "instances"
pytestmark = pytest.mark.smoke


def test_prometheus_and_alertmanager_run_and_reach_what_they_need(judgement: Case, evidence: Evidence) -> None:
    """What the operator makes of their objects is let in, keeps its data and is cut off from nothing it needs."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
