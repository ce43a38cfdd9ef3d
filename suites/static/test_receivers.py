import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "receivers"
pytestmark = pytest.mark.smoke


def test_alerts_reach_somebody(judgement: Case, evidence: Evidence) -> None:
    """Each receiver is routed to and gets what is sent, and each matcher means an alert that is defined."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
