import pytest

from fixtures.static import Case, Judged, require
from fixtures.verdicts import Evidence
from shakedown.verdict import Inconclusive

THEME = "serving"
pytestmark = pytest.mark.smoke


def test_the_model_server_reads_what_it_is_given(judgement: Case, evidence: Evidence) -> None:
    """Flags, model config, monitoring config and batching parameters are what the server reads."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")


def test_the_manifests_hold_a_model_server(deployed: Judged, evidence: Evidence) -> None:
    """What is judged serves a model: manifests in which nothing serves would break none of the rules about serving."""
    if not deployed.servers:
        raise Inconclusive(
            f"{deployed.name} holds no workload that runs a model server: nothing about serving was judged"
        )
    evidence(f"{deployed.name}: {', '.join(deployed.servers)}")
