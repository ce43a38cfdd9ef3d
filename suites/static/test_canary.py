import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "canary"
pytestmark = pytest.mark.smoke


def test_the_canary_differs_in_the_model_alone(judgement: Case, evidence: Evidence) -> None:
    """The canary has what the stable server has, its own Service, and a small share of the traffic."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
