import pytest

from fixtures.static import require
from fixtures.verdicts import Evidence
from shakedown.lint.rule import Judgement

THEME = "autoscaling"
pytestmark = pytest.mark.smoke


def test_scaling_acts_on_numbers_that_exist(judgement: Judgement, evidence: Evidence) -> None:
    """One HPA for a target, on metrics that are served, towards targets that divide by replicas."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
