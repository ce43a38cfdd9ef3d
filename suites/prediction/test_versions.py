"""Each version and each label answers as itself while several serve side by side."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from fixtures.verdicts import Evidence
from shakedown.grpc_client import floats_of, prediction_request, reload_config, send, serving_all
from shakedown.oracle import Floats, Oracle
from shakedown.serving import Endpoint
from shakedown.settings import Deadlines, Deployment
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed  # the servers are configured anew

BATCH = 32
Replicas = dict[str, Endpoint]


def await_versions(replicas: Replicas, model: str, wanted: set[int], within: float) -> None:
    """Wait until each server has exactly these versions AVAILABLE."""

    def there() -> None:
        states = {name: endpoint.status(model) for name, endpoint in replicas.items()}
        late = {n: seen for n, seen in states.items() if {v for v, s in seen.items() if s == "AVAILABLE"} != wanted}
        if late:
            raise NotYet(str(late))

    eventually(there, within=within, awaited=f"each server has exactly versions {sorted(wanted)} AVAILABLE")


@contextmanager
def side_by_side(replicas: Replicas, config: str, model: str, labels: dict[str, int], within: float) -> Iterator[None]:
    """Every server serves all versions, with labels on them; at the end what it was started with."""
    before = {version for version, s in next(iter(replicas.values())).status(model).items() if s == "AVAILABLE"}
    try:
        for endpoint in replicas.values():
            reload_config(endpoint, serving_all(config, model, {}))  # a label must point at what is AVAILABLE
            reload_config(endpoint, serving_all(config, model, labels))
        yield
    finally:
        for endpoint in replicas.values():
            reload_config(endpoint, config)
        await_versions(replicas, model, before, within)


def labelled(endpoint: Endpoint, model: str, label: str, images: Floats) -> Floats:
    """Predictions over REST of the version that a label points at."""
    answer = endpoint.post(f"/v1/models/{model}/labels/{label}:predict", {"instances": images.tolist()})
    assert answer.status_code == 200, f"label {label}: HTTP {answer.status_code}: {answer.text[:200]}"
    return np.asarray(answer.json()["predictions"], dtype=np.float32)


def test_each_version_and_label_answers_as_itself_while_both_serve(
    replicas: Replicas,
    deployment: Deployment,
    model_config: str,
    golden_versions: list[int],
    oracle: Oracle,
    deadlines: Deadlines,
    evidence: Evidence,
) -> None:
    """By number and by label, over REST and gRPC, each server answers with the version asked for; else the latest."""
    model, images = deployment.model, oracle.images[:BATCH]
    labels = {f"number-{version}": version for version in golden_versions}
    seen = []
    with side_by_side(replicas, model_config, model, labels, deadlines.pods):
        await_versions(replicas, model, set(golden_versions), deadlines.pods)
        for name, endpoint in replicas.items():
            for label, version in labels.items():
                request = prediction_request(model, images)
                request.model_spec.version_label = label
                by_grpc = send(endpoint, request)
                seen += [
                    (
                        name,
                        f"version {version} by REST",
                        version,
                        endpoint.predict_rest(model, images, version=version),
                    ),
                    (name, f"label {label} by REST", version, labelled(endpoint, model, label, images)),
                    (name, f"label {label} by gRPC", version, floats_of(by_grpc, "probabilities")),
                ]
            seen.append((name, "without a version", max(golden_versions), endpoint.predict_rest(model, images)))
    wrong = [
        f"{name}, {how}: {text}" for name, how, v, found in seen if (text := oracle.mismatch(v, found, count=BATCH))
    ]
    assert not wrong, "; ".join(wrong)
    assert len(seen) == len(replicas) * (3 * len(labels) + 1)
    evidence(
        f"{len(seen)} batches of {BATCH} on {len(replicas)} replicas, versions {golden_versions} by number and label"
    )


def test_label_of_a_version_that_is_not_served_is_refused_and_changes_nothing(
    one: Endpoint, deployment: Deployment, model_config: str, oracle: Oracle, served: int, evidence: Evidence
) -> None:
    """A label can't be put on a version that nobody serves: the server says why, and serves on as before."""
    with pytest.raises(Failed, match="Request to assign label to version 99") as refused:
        reload_config(one, serving_all(model_config, deployment.model, {"next": 99}))
    wrong = oracle.mismatch(served, one.predict_rest(deployment.model, oracle.images[:BATCH]), count=BATCH)
    assert not wrong, wrong
    reload_config(one, model_config)
    evidence(str(refused.value)[-140:])
