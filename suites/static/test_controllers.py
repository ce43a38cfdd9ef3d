import pytest

from fixtures.static import require
from fixtures.verdicts import Evidence
from shakedown.lint.rule import Judgement

THEME = "controllers"
pytestmark = pytest.mark.smoke


def test_controllers_can_do_their_work(judgement: Judgement, evidence: Evidence) -> None:
    """Gateways, adapters and Prometheus have their rights, their options and their way to the API server."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
