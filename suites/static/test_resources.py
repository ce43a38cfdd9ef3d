import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "resources"
pytestmark = pytest.mark.smoke


def test_requests_and_limits_fit_the_need(judgement: Case, evidence: Evidence) -> None:
    """Every container says what it needs, and servers get what the model server needs."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
