import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "receivers"
pytestmark = pytest.mark.smoke


def test_alerts_reach_somebody_in_time(judgement: Case, evidence: Evidence) -> None:
    """Alertmanager is configured, each route leads to a receiver that gets it, and each matcher means an alert."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
