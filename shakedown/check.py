"""One endpoint asked for its state, version, a prediction and its latency; no cluster is needed."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import requests

from shakedown import grpc_client
from shakedown.oracle import Floats
from shakedown.serving import REQUEST_S, Endpoint
from shakedown.verdict import Failed

TIMES = 10  # predictions that the latency is taken from
SYSTEM_SAYS = re.compile(r"\[Errno -?\d+\] ([^'\")]+)")  # in the words of an HTTP library about a connection
ANY = 1  # what stands for a dimension that a signature leaves open


@dataclass(frozen=True)
class Question:
    """What is asked: `version` 0 takes whichever serves, `images` None what the signature takes, all zeros.

    `within` is the most that the median prediction may take, in seconds, connection included.
    """

    model: str
    version: int = 0
    images: Floats | None = None
    within: float = 0.25


@dataclass(frozen=True)
class Answer:
    """One line of what was found."""

    right: bool
    what: str
    said: str

    def __str__(self) -> str:
        return f"{'ok    ' if self.right else 'FAILED'} {self.what:<10} {self.said}"


def endpoint_of(url: str, host: str = "") -> tuple[Endpoint, bool]:
    """The endpoint that an address names, and whether it is asked over gRPC. Raises ValueError for another scheme."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https", "grpc"} or not parts.netloc:
        raise ValueError(f"{url} is no address: name http://HOST:PORT, https://HOST:PORT or grpc://HOST:PORT")
    return Endpoint(url, url.rstrip("/"), parts.netloc, host), parts.scheme == "grpc"


def check(endpoint: Endpoint, question: Question, *, grpc: bool) -> Iterator[Answer]:
    """State, version, prediction, latency, one after the other; nothing more is asked after the first that is wrong."""
    predict = over_grpc if grpc else over_rest
    status = grpc_client.status_grpc if grpc else Endpoint.status
    for what, ask in (
        ("state", lambda: state(status(endpoint, question.model))),
        ("version", lambda: version(status(endpoint, question.model), question.version)),
        ("prediction", lambda: prediction(predict(endpoint, question))),
        ("latency", lambda: latency(lambda: predict(endpoint, question), question.within)),
    ):
        answer = asked(what, ask)
        yield answer
        if not answer.right:
            return


def asked(what: str, ask: Callable[[], str]) -> Answer:
    """The answer to one question, whatever became of it."""
    try:
        return Answer(right=True, what=what, said=ask())
    except (Failed, grpc_client.Refused, requests.RequestException, KeyError, ValueError) as error:
        return Answer(right=False, what=what, said=" ".join(words(error).split())[:300])


def words(error: Exception) -> str:
    """What went wrong, as a person would say it."""
    if isinstance(error, Failed | grpc_client.Refused):
        return str(error)
    if isinstance(error, requests.Timeout):
        return f"no answer within {REQUEST_S:g} s"
    if isinstance(error, requests.ConnectionError):
        found = SYSTEM_SAYS.search(str(error))
        if "BadStatusLine" in str(error):
            return "who answers there speaks no HTTP; for a gRPC port name grpc://HOST:PORT"
        return f"nobody can be reached there: {found[1] if found else error}"
    return f"{type(error).__name__}: {error}"


def state(versions: dict[int, str]) -> str:
    """Each version's state. Raises Failed where none serves, whatever the HTTP code was."""
    said = ", ".join(f"version {version} {state}" for version, state in sorted(versions.items())) or "no version"
    if "AVAILABLE" not in versions.values():
        raise Failed(f"nothing is AVAILABLE: {said}")
    return said


def version(versions: dict[int, str], wanted: int) -> str:
    """The version that serves. Raises Failed where it isn't the one that was asked for."""
    serving = sorted(version for version, state in versions.items() if state == "AVAILABLE")
    if wanted and wanted not in serving:
        raise Failed(f"{wanted} is not AVAILABLE; serving: {serving or 'none'}")
    return f"{wanted or serving[-1]} serves"


def prediction(answers: Floats) -> str:
    """What came back. Raises Failed for an empty answer and for one that holds what is no number."""
    if not answers.size or not np.isfinite(answers).all():
        raise Failed(f"the prediction holds {'nothing' if not answers.size else 'NaN or infinity'}")
    return f"an answer of shape {list(answers.shape)}, all finite"


def latency(predict: Callable[[], Floats], within: float) -> str:
    """How long predictions take, one after the other. Raises Failed where half of them take longer than allowed."""
    taken = []
    for _ in range(TIMES):
        started = time.monotonic()
        predict()
        taken.append(time.monotonic() - started)
    said = f"median {1000 * median(taken):.1f} ms, slowest {1000 * max(taken):.1f} ms of {TIMES}"
    if median(taken) > within:
        raise Failed(f"{said}; at most {1000 * within:.0f} ms are allowed")
    return said


def over_rest(endpoint: Endpoint, question: Question) -> Floats:
    """One prediction over REST, of the first output where there are several. Raises Failed unless it answers 200."""
    at = f"/versions/{question.version}" if question.version else ""
    given = inputs(endpoint, question) if question.images is None else {"instances": question.images.tolist()}
    answer = endpoint.post(f"/v1/models/{question.model}{at}:predict", given)
    if answer.status_code != 200:
        raise Failed(f"HTTP {answer.status_code}: {answer.text[:200]}")
    found = answer.json()
    outputs = found.get("outputs", found.get("predictions"))
    first = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs
    if isinstance(first, list) and first and isinstance(first[0], dict):
        first = [next(iter(row.values())) for row in first]
    return np.asarray(first, dtype=np.float32)


def inputs(endpoint: Endpoint, question: Question) -> dict[str, Any]:
    """Zeros in the shapes that the model's own signature names. Raises Failed where it doesn't tell them."""
    at = f"/versions/{question.version}" if question.version else ""
    answer = endpoint.get(f"/v1/models/{question.model}{at}/metadata")
    if answer.status_code != 200:
        raise Failed(f"metadata: HTTP {answer.status_code}: {answer.text[:200]}")
    signature = answer.json()["metadata"]["signature_def"]["signature_def"][grpc_client.SIGNATURE]
    return {"inputs": {name: zeros(tensor) for name, tensor in signature["inputs"].items()}}


def zeros(tensor: dict[str, Any]) -> Any:  # noqa: ANN401 - nested lists of numbers
    """A tensor of zeros as JSON; a dimension that is left open has the size 1."""
    sizes = [int(dimension["size"]) for dimension in tensor["tensor_shape"]["dim"]]
    return np.zeros([size if size > 0 else ANY for size in sizes]).tolist()


def over_grpc(endpoint: Endpoint, question: Question) -> Floats:
    """One prediction over gRPC of images [n, 784] (zeros unless named). Raises Refused, or Failed without outputs."""
    images = np.zeros((1, 784), dtype=np.float32) if question.images is None else question.images
    request = grpc_client.prediction_request(question.model, images)
    if question.version:
        request.model_spec.version.value = question.version
    answer = grpc_client.send(endpoint, request)
    if not answer.outputs:
        raise Failed("the answer holds no output")
    return grpc_client.floats_of(answer, min(answer.outputs))
