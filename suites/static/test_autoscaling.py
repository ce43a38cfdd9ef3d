import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "autoscaling"
pytestmark = pytest.mark.smoke


def test_scaling_acts_on_numbers_that_exist(judgement: Case, evidence: Evidence) -> None:
    """One HPA for a target, on metrics that are served, towards targets that divide by replicas."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
