import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "alerts"
pytestmark = pytest.mark.smoke


def test_alerts_fire_when_they_should(judgement: Case, evidence: Evidence) -> None:
    """Rules parse, pass their unit tests, fit the limits, and see a total outage."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
