"""The front door lets users in."""

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.serving import Endpoint
from shakedown.settings import Deployment

pytestmark = pytest.mark.smoke


@pytest.mark.asks_for("status at the front door")
def test_gateway_port_answers_on_the_host(
    cluster: Cluster, gateway: Endpoint, deployment: Deployment, evidence: Evidence
) -> None:
    """From the host, over 127.0.0.1, the gateway hands requests of the deployment's host name to a ready server."""
    states = gateway.status(deployment.model)
    assert states, "the status names no version"
    evidence(f"127.0.0.1:{cluster.gateway_port} answers for {gateway.host}: versions {states}")
