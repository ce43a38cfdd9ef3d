"""Golden answers: each server, over each protocol, gives what its library gave in process."""

import numpy as np
import pytest

from fixtures.verdicts import Evidence
from shakedown.grpc_client import predict_grpc
from shakedown.oracle import Floats, Oracle
from shakedown.serving import Endpoint
from shakedown.settings import Deployment

pytestmark = pytest.mark.smoke


def over_rest(endpoint: Endpoint, names: Deployment, oracle: Oracle) -> Floats:
    """A server's answers to all golden images over REST, in batches."""
    parts = [endpoint.predict_rest(names.model, part) for part in batches(oracle, names.batch)]
    return np.concatenate(parts)


def over_grpc(endpoint: Endpoint, names: Deployment, oracle: Oracle, version: int) -> Floats:
    """A server's answers to all golden images over gRPC, in batches, each from the expected version."""
    answers = [predict_grpc(endpoint, names.model, part) for part in batches(oracle, names.batch)]
    assert {answered for _, answered in answers} == {version}, f"{endpoint.name} answers from other versions"
    return np.concatenate([found for found, _ in answers])


def batches(oracle: Oracle, most: int) -> list[Floats]:
    """The golden images in the largest batches that the servers take."""
    return [oracle.images[start : start + most] for start in range(0, len(oracle.images), most)]


def test_every_replica_answers_the_golden_images_over_rest(
    replicas: dict[str, Endpoint], deployment: Deployment, oracle: Oracle, served: int, evidence: Evidence
) -> None:
    """Over REST each server answers each golden image as the expected version does, asked server by server."""
    wrong = {
        name: text
        for name, endpoint in replicas.items()
        if (text := oracle.mismatch(served, over_rest(endpoint, deployment, oracle)))
    }
    assert not wrong, "; ".join(f"replica {name}: {text}" for name, text in wrong.items())
    evidence(
        f"{len(replicas)} replicas, {len(oracle.images)} images each, within {oracle.tolerance:g} of version {served}"
    )


@pytest.mark.asks_for("grpc")
def test_every_replica_answers_the_golden_images_over_grpc(
    replicas: dict[str, Endpoint], deployment: Deployment, oracle: Oracle, served: int, evidence: Evidence
) -> None:
    """Over gRPC each server answers each golden image as the expected version does, and names that version."""
    wrong = {
        name: text
        for name, endpoint in replicas.items()
        if (text := oracle.mismatch(served, over_grpc(endpoint, deployment, oracle, served)))
    }
    assert not wrong, "; ".join(f"replica {name}: {text}" for name, text in wrong.items())
    evidence(
        f"{len(replicas)} replicas, {len(oracle.images)} images each, within {oracle.tolerance:g} of version {served}"
    )


@pytest.mark.needs("whole_door")
@pytest.mark.asks_for("grpc")
def test_front_door_answers_the_golden_images_over_rest_and_grpc(
    gateway: Endpoint, deployment: Deployment, oracle: Oracle, served: int, evidence: Evidence
) -> None:
    """Users' way in gives the right answers over both protocols."""
    rest = oracle.mismatch(served, over_rest(gateway, deployment, oracle))
    grpc = oracle.mismatch(served, over_grpc(gateway, deployment, oracle, served))
    assert not rest, f"over REST: {rest}"
    assert not grpc, f"over gRPC: {grpc}"
    evidence(f"{len(oracle.images)} images over each protocol at {gateway.rest}")


def test_replicas_answer_alike(
    replicas: dict[str, Endpoint], deployment: Deployment, oracle: Oracle, evidence: Evidence
) -> None:
    """Which server a user meets makes no difference: every server's answers are the same, to the last bit."""
    answers = {name: over_rest(endpoint, deployment, oracle) for name, endpoint in replicas.items()}
    assert len(answers) >= 2, f"only {list(answers)} runs: there is nothing to compare"
    first, *others = answers
    reference = answers[first]
    apart = {name: float(np.abs(answers[name] - reference).max()) for name in others}
    odd = {name: distance for name, distance in apart.items() if distance}
    assert not odd, f"replicas answer otherwise than {first}, by as much as {odd}"
    evidence(f"{len(answers)} replicas, {reference.size} probabilities each, none differs")
