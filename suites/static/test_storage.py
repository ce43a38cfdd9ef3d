import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "storage"
pytestmark = pytest.mark.smoke


def test_the_model_store_fits_its_readers_and_its_import(judgement: Case, evidence: Evidence) -> None:
    """Every replica can mount the store, and an import never shows half a model."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
