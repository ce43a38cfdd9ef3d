import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "paths"
pytestmark = pytest.mark.smoke


def test_routes_take_what_the_server_answers_and_nothing_else(judgement: Case, evidence: Evidence) -> None:
    """Predictions get through by the paths that the server knows; metrics and reloading stay inside."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
