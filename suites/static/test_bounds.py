import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "bounds"
pytestmark = pytest.mark.smoke


def test_bounds_of_a_namespace_fit_what_runs_there(judgement: Case, evidence: Evidence) -> None:
    """Quotas and limit ranges have room for a roll-out at full size, and stop a runaway."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
