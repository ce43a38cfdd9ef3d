import pytest

from fixtures.static import require
from fixtures.verdicts import Evidence
from shakedown.lint.rule import Judgement

THEME = "monitoring"
pytestmark = pytest.mark.smoke


def test_metrics_are_scraped_where_they_are_served(judgement: Judgement, evidence: Evidence) -> None:
    """Monitors select Services by their labels, on the port and path where the server answers."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
