import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "security"
pytestmark = pytest.mark.smoke


def test_pods_hold_no_more_rights_than_they_need(judgement: Case, evidence: Evidence) -> None:
    """Images are pinned, pods restricted, tokens and roles narrow."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
