import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "values"
pytestmark = pytest.mark.smoke


def test_every_value_is_one_that_the_api_server_takes(judgement: Case, evidence: Evidence) -> None:
    """Values that the schema leaves open are those that the API server insists on."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
