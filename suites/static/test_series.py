import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "series"
pytestmark = pytest.mark.smoke


def test_series_arrive_where_they_are_read(judgement: Case, evidence: Evidence) -> None:
    """Relabelings keep what rules read, probes are told apart, and dashboards show what somebody records."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
