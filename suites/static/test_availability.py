import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "availability"
pytestmark = pytest.mark.smoke


def test_servers_survive_drains_crashes_and_roll_outs(judgement: Case, evidence: Evidence) -> None:
    """Probes, budgets, spread, roll-out and draining keep predictions flowing."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
