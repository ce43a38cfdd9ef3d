import pytest

from fixtures.static import require
from fixtures.verdicts import Evidence
from shakedown.lint.rule import Judgement

THEME = "schema"
pytestmark = pytest.mark.smoke


def test_every_object_is_accepted_by_the_api_server(judgement: Judgement, evidence: Evidence) -> None:
    """The API server takes every object, custom resources included, unknown fields refused."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
