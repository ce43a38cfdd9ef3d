import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "network"
pytestmark = pytest.mark.smoke


def test_policies_let_through_whom_they_should_and_nobody_else(judgement: Case, evidence: Evidence) -> None:
    """The door, Prometheus and DNS get through the NetworkPolicies, strangers do not."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
