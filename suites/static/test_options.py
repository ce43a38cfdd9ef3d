import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "options"
pytestmark = pytest.mark.smoke


def test_programs_know_what_they_are_given(judgement: Case, evidence: Evidence) -> None:
    """Options are those of the program in its version, and their values of the kind that it reads."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
