import pytest

from fixtures.static import require
from fixtures.verdicts import Evidence
from shakedown.lint.rule import Judgement

THEME = "jobs"
pytestmark = pytest.mark.smoke


def test_jobs_end(judgement: Judgement, evidence: Evidence) -> None:
    """Jobs have bounds to their retries and their time."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
