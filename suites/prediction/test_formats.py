"""One answer, however it is asked for: protocol, format, batch, signature; and numbers that are none."""

import json

import numpy as np
import pytest

from fixtures.verdicts import Evidence
from models.golden import Golden
from shakedown.grpc_client import Refused, floats_of, predict_grpc, prediction_request, send
from shakedown.oracle import Floats, Oracle
from shakedown.serving import Endpoint
from shakedown.settings import Deployment

pytestmark = pytest.mark.smoke

QUEUED = ":tensorflow:serving:batching_session:queuing_latency_count"


def asked(endpoint: Endpoint, model: str, body: dict[str, object], key: str) -> Floats:
    """A prediction in a format of its own; raises AssertionError with the server's words."""
    answer = endpoint.post(f"/v1/models/{model}:predict", body)
    assert answer.status_code == 200, f"HTTP {answer.status_code}: {answer.text[:200]}"
    return np.asarray(json.loads(answer.text)[key], dtype=np.float32)


@pytest.mark.asks_for("grpc")
def test_rest_and_grpc_answer_exactly_alike(
    one: Endpoint, deployment: Deployment, oracle: Oracle, evidence: Evidence
) -> None:
    """The same images over REST and over gRPC give the same floats, to the last bit: JSON loses nothing."""
    images = oracle.images[: deployment.batch]
    rest = one.predict_rest(deployment.model, images)
    grpc, _ = predict_grpc(one, deployment.model, images)
    by_rest, by_grpc = oracle.version_of(0, rest[0]), oracle.version_of(0, grpc[0])
    assert by_rest == by_grpc, f"REST answers as version {by_rest} and gRPC as version {by_grpc} of {deployment.model}"
    assert rest.tobytes() == grpc.tobytes(), f"REST and gRPC answer up to {np.abs(rest - grpc).max():g} apart"
    evidence(f"{rest.size} probabilities bit for bit the same")


def test_batch_and_single_answers_agree(
    one: Endpoint, deployment: Deployment, oracle: Oracle, evidence: Evidence
) -> None:
    """Images sent together are answered as each alone: same order, same labels, within the stated tolerance."""
    images = oracle.images[: deployment.batch]
    batch = one.predict_rest(deployment.model, images)
    single = np.concatenate([one.predict_rest(deployment.model, images[i : i + 1]) for i in range(len(images))])
    assert batch.shape == single.shape == (len(images), 10), (
        f"{len(images)} images sent together got {len(batch)} answers"
    )
    apart = np.abs(batch - single).max(axis=1)
    assert apart.max() <= oracle.tolerance, f"image {apart.argmax()} is answered {apart.max():g} apart"
    assert (batch.argmax(axis=1) == single.argmax(axis=1)).all()
    evidence(f"{len(images)} images, at most {apart.max():.1e} apart, same labels")


@pytest.mark.asks_for("signatures")
def test_row_and_columnar_format_answer_alike(
    one: Endpoint, deployment: Deployment, oracle: Oracle, evidence: Evidence
) -> None:
    """`instances` as lists, `instances` with named inputs, and `inputs` give the same floats."""
    rows = oracle.images[:4].tolist()
    plain = asked(one, deployment.model, {"instances": rows}, "predictions")
    named = asked(one, deployment.model, {"instances": [{"image": row} for row in rows]}, "predictions")
    columns = asked(one, deployment.model, {"inputs": {"image": rows}}, "outputs")
    assert plain.shape == (4, 10)
    assert plain.tobytes() == named.tobytes() == columns.tobytes()
    evidence(f"{plain.size} probabilities in three formats, bit for bit the same")


@pytest.mark.asks_for("signatures", "grpc")
def test_named_signature_answers_its_own_output(
    one: Endpoint, deployment: Deployment, oracle: Oracle, golden: Golden, served: int, evidence: Evidence
) -> None:
    """The signature `scores` answers what comes before the softmax, over REST and over gRPC."""
    images, wanted = oracle.images[:8], golden.versions[served].scores[:8]
    body: dict[str, object] = {"signature_name": "scores", "instances": images.tolist()}
    rest = asked(one, deployment.model, body, "predictions")
    grpc = floats_of(send(one, prediction_request(deployment.model, images, signature="scores")), "scores")
    assert rest.tobytes() == grpc.tobytes()
    # scores are some twenty times as large as probabilities, and so is the rounding
    np.testing.assert_allclose(rest, wanted, rtol=0, atol=20 * oracle.tolerance)
    evidence(f"scores of 8 images, at most {np.abs(rest - wanted).max():.1e} from in-process")


@pytest.mark.asks_for("grpc")
def test_output_filter_returns_only_what_was_asked_for(
    one: Endpoint, deployment: Deployment, oracle: Oracle, evidence: Evidence
) -> None:
    """A gRPC client that names its outputs gets these and no other."""
    request = prediction_request(deployment.model, oracle.images[:1])
    request.output_filter.append("probabilities")
    found = send(one, request).outputs
    assert list(found) == ["probabilities"]
    evidence("output_filter probabilities: only that came back")


@pytest.mark.asks_for("grpc")
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_spoils_no_other_answer(
    one: Endpoint, deployment: Deployment, oracle: Oracle, served: int, evidence: Evidence, number: float
) -> None:
    """An image that holds NaN or Infinity is taken as it is; its neighbour in the same batch is answered right.

    What the model makes of it is the machine's arithmetic: ReLU turns NaN into 0 with some vector instructions and
    passes it on with others, in TensorFlow's own process too. It is never what 0 in its place gives.
    """
    images = oracle.images[:2].copy()
    images[1, 400] = 0
    replaced = one.predict_rest(deployment.model, images)[1]
    images[1, 400] = number
    rest = one.predict_rest(deployment.model, images)
    grpc, _ = predict_grpc(one, deployment.model, images)
    wrong = oracle.mismatch(served, rest[:1], count=1)
    assert not wrong, wrong
    assert rest.shape == (2, 10)
    assert np.array_equal(rest, grpc, equal_nan=True)
    assert not np.allclose(rest[1], replaced, rtol=0, atol=oracle.tolerance), f"{number} was read as 0: {rest[1]}"
    evidence(f"{number}: its own row {rest[1][:2]}..., the other row right, REST = gRPC")


@pytest.mark.asks_for("batching")
def test_batch_above_the_limit_is_refused(
    one: Endpoint, deployment: Deployment, oracle: Oracle, served: int, evidence: Evidence
) -> None:
    """The batching limit is in force: a batch at it is answered right, one above it is refused with a reason."""
    most = deployment.batch
    images = np.tile(oracle.images, (1 + most // len(oracle.images), 1))[: most + 1]
    known = min(most, len(oracle.images))
    wrong = oracle.mismatch(served, one.predict_rest(deployment.model, images[:known]), count=known)
    assert not wrong, wrong
    text = f"Task size {most + 1} is larger than maximum input batch size {most}"
    answer = one.post(f"/v1/models/{deployment.model}:predict", {"instances": images.tolist()})
    assert answer.status_code == 400, f"{most + 1} images: HTTP {answer.status_code}; is --enable_batching set?"
    assert text in answer.json()["error"]
    with pytest.raises(Refused, match=text) as refused:
        send(one, prediction_request(deployment.model, images))
    assert refused.value.code == "INVALID_ARGUMENT"
    evidence(f"{most} images answered; {most + 1}: {text}")


@pytest.mark.asks_for("batching")
def test_predictions_pass_the_batching_queue(
    one: Endpoint, deployment: Deployment, oracle: Oracle, evidence: Evidence
) -> None:
    """Predictions go through the batching queue: its metric counts them."""
    before = one.metric(QUEUED)
    for row in range(3):
        one.predict_rest(deployment.model, oracle.images[row : row + 1])
    passed = one.metric(QUEUED) - before
    assert passed >= 3, f"{QUEUED} rose by {passed:g} over 3 predictions; is --enable_batching set?"
    evidence(f"3 predictions, {QUEUED} +{passed:g}")
