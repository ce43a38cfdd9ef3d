import pytest

from fixtures.static import require
from fixtures.verdicts import Evidence
from shakedown.lint.rule import Judgement

THEME = "values"
pytestmark = pytest.mark.smoke


def test_every_value_is_one_that_the_api_server_takes(judgement: Judgement, evidence: Evidence) -> None:
    """Values that the schema leaves open are those that the API server insists on."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
