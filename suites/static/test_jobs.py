import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "jobs"
pytestmark = pytest.mark.smoke


def test_jobs_end(judgement: Case, evidence: Evidence) -> None:
    """Jobs have bounds to their retries and their time."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
