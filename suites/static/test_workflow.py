import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "workflow"
pytestmark = pytest.mark.smoke


def test_deployment_workflows_are_safe(judgement: Case, evidence: Evidence) -> None:
    """Workflows pin their actions, judge before they deploy, and wait for the roll-out."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
