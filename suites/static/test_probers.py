import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "probers"
pytestmark = pytest.mark.smoke


def test_probes_ask_for_predictions_and_check_them(judgement: Case, evidence: Evidence) -> None:
    """A probe reaches its prober and its target, and looks at the answer."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
