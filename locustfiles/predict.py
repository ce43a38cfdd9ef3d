"""locust's users: predictions of real digits over REST and gRPC, each answer held against the golden ones."""

import os
import traceback
from pathlib import Path
from typing import Any

import gevent
import grpc.experimental.gevent
import numpy as np
import orjson
from locust import FastHttpUser, User, runners, task

from locustfiles.open_model import MOST_UNDER_WAY, Answer, OpenModel, Send
from locustfiles.order import Order
from shakedown.backends.wire import words
from shakedown.oracle import Floats
from shakedown.shapes import LONGEST_S

# A worker whose core is taken from it for 3 s is dead to locust's master, which then stops it or starts it anew. Who is
# dead the run says, which attends each process; so nobody's silence ends a load before the longest load would have.
runners.HEARTBEAT_LIVENESS = runners.MASTER_HEARTBEAT_TIMEOUT = int(LONGEST_S)
ORDER = Order(Path(os.environ["LOAD_ORDER"]))
PREDICT = "/tensorflow.serving.PredictionService/Predict"


def version_of(row: int, found: Floats) -> int:
    """The version whose answers these are; 0 where they are nobody's."""
    return next((v for v in ORDER.oracle.answers if not ORDER.oracle.mismatch(v, found, row, ORDER.batch)), 0)


def send(user: User, predict: Send) -> None:
    """Send the whole load, then end locust, whose exit code says that the generator worked, and nothing of the answers.

    It is ended too where the generator doesn't work: locust would begin again.
    """
    try:
        OpenModel(ORDER).run(predict)
        user.environment.process_exit_code = 0
    except Exception:  # noqa: BLE001 - whatever it was, it is told, and nothing is sent any more
        traceback.print_exc()
        user.environment.process_exit_code = 1
    gevent.spawn(user.environment.runner.quit)
    gevent.sleep(60)


class RestUser(FastHttpUser):  # type: ignore[misc] # locust ships no types
    """All REST clients together, over as many kept connections as are needed at once."""

    fixed_count = ORDER.workers  # one in each generator
    host = f"http://{ORDER.address}"
    concurrency = MOST_UNDER_WAY
    network_timeout = connection_timeout = ORDER.patience
    default_headers = {"Content-Type": "application/json", **({"Host": ORDER.host} if ORDER.host else {})}  # noqa: RUF012

    @task  # type: ignore[untyped-decorator]
    def load(self) -> None:
        """Send the whole load."""
        send(self, self.predict)

    def predict(self, number: int) -> Answer:
        """Send one prediction, once: a POST is not repeated by the client."""
        body = ORDER.bodies[number % len(ORDER.bodies)]
        path = ORDER.wire.prediction_path(ORDER.model)
        answer = self.client.post(path, data=body, headers=ORDER.headers, allow_redirects=False)
        if answer.status_code != 200:
            said = f"{type(answer.error).__name__}: {answer.error}" if answer.error else answer.text
            return Answer(answer.status_code, 0, right=False, said=words(str(said)))
        found = ORDER.wire.answers(orjson.loads(answer.content))
        version = version_of(ORDER.row(number), found)
        return Answer(200, version, right=version > 0)


class GrpcUser(User):  # type: ignore[misc] # locust ships no types
    """All gRPC clients together, over one connection."""

    fixed_count = ORDER.workers  # one in each generator

    @task  # type: ignore[untyped-decorator]
    def load(self) -> None:
        """Send the whole load."""
        grpc.experimental.gevent.init_gevent()
        options = [("grpc.default_authority", ORDER.host)] if ORDER.host else []
        with grpc.insecure_channel(ORDER.address, options=[*options, ("grpc.enable_retries", 0)]) as channel:
            self.call: Any = channel.unary_unary(PREDICT)
            send(self, self.predict)

    def predict(self, number: int) -> Answer:
        """Send one prediction, once: retries of the client are switched off."""
        from shakedown.protos import predict_pb2  # noqa: PLC0415 - REST needs none of it

        body = ORDER.bodies[number % len(ORDER.bodies)]
        metadata = [(name.lower(), value) for name, value in ORDER.headers.items()]
        try:
            answer = predict_pb2.PredictResponse.FromString(self.call(body, timeout=ORDER.patience, metadata=metadata))
        except grpc.RpcError as error:
            return Answer(0, 0, right=False, said=f"{error.code().name}: {error.details()}"[:200])
        found = np.asarray(answer.outputs["probabilities"].float_val, dtype=np.float32).reshape(-1, 10)
        version = int(answer.model_spec.version.value)
        known = version in ORDER.oracle.answers
        wrong = known and ORDER.oracle.mismatch(version, found, ORDER.row(number), ORDER.batch)
        return Answer(200, version, right=known and not wrong)
