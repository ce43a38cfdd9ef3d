import pytest

from fixtures.static import Case, require
from fixtures.verdicts import Evidence

THEME = "routing"
pytestmark = pytest.mark.smoke


def test_routes_lead_clients_to_servers(judgement: Case, evidence: Evidence) -> None:
    """Gateways, routes and Ingresses lead to Services that are there, by ports that speak their protocol."""
    require(judgement)
    evidence(f"{judgement.subject} keeps {judgement.rule.name}")
