import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "serving"
pytestmark = pytest.mark.smoke


def test_the_model_server_reads_what_it_is_given(judgement: Case, evidence: Evidence) -> None:
    """Flags, model config, monitoring config and batching parameters are what the server reads."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
