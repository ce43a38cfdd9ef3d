"""What the published verification script and health checker meant to ask, asked from inside the cluster."""

import json
import re

import pytest

from fixtures.verdicts import Evidence
from shakedown.backends.wire import Wire
from shakedown.lab import GUEST, Lab, Visitors
from shakedown.manifests import Stack
from shakedown.oracle import Oracle
from shakedown.settings import Deployment, Objectives

pytestmark = [pytest.mark.smoke, pytest.mark.test_bed]

DOOR = "http://traefik.gateway.svc.cluster.local"
REQUESTS = 20
JSON = "Content-Type: application/json"  # wget says that it sends a form, which not every server takes
REAL = re.compile(r"real\s+(?:(\d+)m\s*)?([\d.]+)s")


def fetch(lab: Lab, host: str, path: str, *options: str) -> str:
    """What the front door answers a client inside the cluster."""
    return lab.fetch(GUEST, f"{DOOR}{path}", "--header", f"Host: {host}", *options)


@pytest.mark.asks_for("status at the front door")
def test_status_from_inside_names_the_version_and_its_state(
    stack: Stack,  # noqa: ARG001 - it must be up
    visitors: Visitors,
    deployment: Deployment,
    served: int,
    evidence: Evidence,
) -> None:
    """A client in the cluster reads version and state where they are (not `model_version`, and not the HTTP code)."""
    told = json.loads(fetch(visitors.stranger, deployment.hostname, f"/v1/models/{deployment.model}"))
    seen = {entry["version"]: entry["state"] for entry in told["model_version_status"]}
    assert seen.get(str(served)) == "AVAILABLE", f"version {served} is not AVAILABLE: {seen}"
    evidence(f"versions {seen}")


def test_predictions_from_inside_are_right_and_in_time(
    visitors: Visitors,
    deployment: Deployment,
    served: int,
    oracle: Oracle,
    objectives: Objectives,
    wire: Wire,
    evidence: Evidence,
) -> None:
    """A client in the cluster gets the right answer, and one after the other within the objective on average."""
    body, path = json.dumps(wire.question(oracle.images[:1])), wire.prediction_path(deployment.model)
    answer = json.loads(fetch(visitors.stranger, deployment.hostname, path, "--header", JSON, "--post-data", body))
    wrong = oracle.mismatch(served, wire.answers(answer), count=1)
    assert not wrong, wrong
    ask = 'wget -q -O /dev/null --header "$1" --header "$2" --post-data "$3" "$4"'
    timed = f"{{ time sh -c 'for i in $(seq {REQUESTS}); do {ask} || exit 1; done' sh \"$@\"; }} 2>&1"
    host = f"Host: {deployment.hostname}"
    said = visitors.stranger.run(GUEST, "sh", "-c", timed, "sh", host, JSON, body, f"{DOOR}{path}")
    minutes, seconds = REAL.search(said).groups()  # type: ignore[union-attr] # a shell that can't tell time fails here
    mean = (60 * int(minutes or 0) + float(seconds)) / REQUESTS
    assert mean <= objectives.prediction, (
        f"{mean:.3f} s a prediction from inside, objective {objectives.prediction:g} s"
    )
    evidence(f"{REQUESTS} predictions from inside the cluster, {mean * 1000:.0f} ms each, new connection included")
