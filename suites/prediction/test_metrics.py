"""What a server counts is what it was asked for."""

import pytest

from fixtures.verdicts import Evidence
from shakedown.backends.wire import Wire
from shakedown.oracle import Oracle
from shakedown.serving import Endpoint
from shakedown.settings import Deployment

pytestmark = pytest.mark.smoke

ASKED = 20


def test_every_server_counts_the_predictions_that_it_is_asked_for(
    replicas: dict[str, Endpoint], deployment: Deployment, oracle: Oracle, wire: Wire, evidence: Evidence
) -> None:
    """The metric from which request rates are taken rises with each prediction; probes may be counted too."""
    rises = {}
    for name, server in replicas.items():
        before = server.metric(wire.counted, model_name=deployment.model)
        for row in range(ASKED):
            server.predict_rest(deployment.model, oracle.images[row : row + 1])
        rises[name] = server.metric(wire.counted, model_name=deployment.model) - before
    silent = {name: rise for name, rise in rises.items() if rise < ASKED}
    assert not silent, f"{wire.counted} rose by {silent} over {ASKED} predictions each; see {wire.metrics_hint}"
    evidence(f"{wire.counted} rose by {sorted(rises.values())} over {ASKED} predictions to each server")
