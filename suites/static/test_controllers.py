import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "controllers"
pytestmark = pytest.mark.smoke


def test_controllers_can_do_their_work(judgement: Case, evidence: Evidence) -> None:
    """Gateways, adapters and Prometheus have their rights, their options and their way to the API server."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
