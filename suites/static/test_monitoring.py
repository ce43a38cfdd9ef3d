import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "monitoring"
pytestmark = pytest.mark.smoke


def test_metrics_are_scraped_where_they_are_served(judgement: Case, evidence: Evidence) -> None:
    """Monitors select Services by their labels, on the port and path where the server answers."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
