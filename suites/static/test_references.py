import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "references"
pytestmark = pytest.mark.smoke


def test_every_name_leads_to_something_that_is_there(judgement: Case, evidence: Evidence) -> None:
    """Selectors, ports, claims, ConfigMaps, Secrets, accounts and roles that objects name exist."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
