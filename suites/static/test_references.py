import pytest

from fixtures.static import require
from fixtures.verdicts import Evidence
from shakedown.lint.rule import Judgement

THEME = "references"
pytestmark = pytest.mark.smoke


def test_every_name_leads_to_something_that_is_there(judgement: Judgement, evidence: Evidence) -> None:
    """Selectors, ports, claims, ConfigMaps, Secrets, accounts and roles that objects name exist."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
