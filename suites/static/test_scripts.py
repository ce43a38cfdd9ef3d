import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "scripts"
pytestmark = pytest.mark.smoke


def test_scripts_find_what_they_need_where_they_run(judgement: Case, evidence: Evidence) -> None:
    """Scripts parse, find their files and temporary space, and ask addresses that answer them."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
