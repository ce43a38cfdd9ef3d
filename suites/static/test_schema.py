import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "schema"
pytestmark = pytest.mark.smoke


def test_every_object_is_accepted_by_the_api_server(judgement: Case, evidence: Evidence) -> None:
    """The API server takes every object, custom resources included, unknown fields refused."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
