"""Clients of the model server: REST and gRPC, one replica at a time or through the front door."""

import json
import os
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
from prometheus_client.parser import text_string_to_metric_families

from shakedown.backends import TENSORFLOW
from shakedown.backends.wire import Wire, words
from shakedown.cluster import Cluster
from shakedown.cluster.access import quiet_env
from shakedown.settings import Ports
from shakedown.verdict import Failed

REQUEST_S = 10.0  # the server's own limit in the manifests (--rest_api_timeout_in_ms)
FORWARD_S = 15.0
HTTP_PORT, GRPC_PORT = 8501, 8500  # TensorFlow Serving's own; a deployment may choose others
FORWARDED = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)")


@dataclass(frozen=True)
class Pod:
    """One serving pod, as the API server tells of it."""

    name: str
    uid: str
    node: str
    address: str
    ready: bool
    restarts: int


def selector_of(deployment: Mapping[str, Any]) -> str:
    """The label selector of a Deployment's pods, as the API takes it."""
    chosen: Mapping[str, str] = deployment["spec"]["selector"]["matchLabels"]
    return ",".join(f"{key}={value}" for key, value in chosen.items())


def pods(cluster: Cluster, namespace: str, selector: str) -> list[Pod]:
    """The pods of a workload that are not being deleted, by name."""
    items = cluster.core.list_namespaced_pod(namespace, label_selector=selector).items
    found = [
        Pod(
            name=item.metadata.name,
            uid=item.metadata.uid,
            node=item.spec.node_name or "",
            address=item.status.pod_ip or "",
            ready=any(c.type == "Ready" and c.status == "True" for c in item.status.conditions or []),
            restarts=sum(s.restart_count for s in item.status.container_statuses or []),
        )
        for item in items
        if item.metadata.deletion_timestamp is None
    ]
    return sorted(found, key=lambda pod: pod.name)


@dataclass(frozen=True)
class Endpoint:
    """Where a model server is asked: a replica through its own tunnel, or the front door.

    `host` is the HTTP Host header (gRPC authority) that the front door routes by; empty for a replica. `headers` go
    with each request (gRPC: metadata). `wire` says how a server is spoken to; `management` and `metrics` are where it
    tells its versions and its metrics, empty where that is `rest` too.
    """

    name: str
    rest: str
    grpc: str
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    wire: Wire = TENSORFLOW
    management: str = ""
    metrics: str = ""

    def get(self, path: str, at: str = "") -> requests.Response:
        """GET a path over REST, or `at` another address."""
        return requests.get(f"{at or self.rest}{path}", headers=self._headers(), timeout=REQUEST_S)

    def post(self, path: str, body: bytes | dict[str, Any]) -> requests.Response:
        """POST a body over REST; bytes go as they are, and NaN and Infinity as the server reads and writes them."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests.post(f"{self.rest}{path}", headers=self._headers(), timeout=REQUEST_S, data=data)

    def _headers(self) -> dict[str, str]:
        return {**({"Host": self.host} if self.host else {}), **dict(self.headers)}

    def status(self, model: str) -> dict[int, str]:
        """Each version's state as the server tells it, e.g. {1: "AVAILABLE"}. Raises Failed unless it answers 200."""
        answer = self.get(self.wire.status_path(model), self.management)
        if answer.status_code != 200:
            raise Failed(f"{self.name}: status of model {model}: HTTP {answer.status_code}: {words(answer.text)}")
        return self.wire.states(answer.json())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels; 0 where there are none. Raises Failed without metrics.

        A histogram's count and sum are metrics of their own names. TensorFlow Serving's names hold colons.
        """
        path = self.wire.metrics_path
        answer = self.get(path, self.metrics)
        if answer.status_code != 200:
            raise Failed(f"{self.name}: {path}: HTTP {answer.status_code}; see {self.wire.metrics_hint}")
        return samples_sum(answer.text, name, **labels)

    def predict_rest(self, model: str, images: np.ndarray, *, version: int | None = None) -> np.ndarray:
        """Predictions over REST: [n, 784] float32 in 0..1 to [n, 10]. Raises Failed unless it answers 200."""
        answer = self.post(self.wire.prediction_path(model, version), self.wire.question(images))
        if answer.status_code != 200:
            raise Failed(f"{self.name}: REST prediction: HTTP {answer.status_code}: {words(answer.text)}")
        return self.wire.answers(answer.json())


def samples_sum(page: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels, on a page of metrics; 0 where there are none."""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    names = (name, f"{name}_total")  # what the parser makes of a counter's name, as OpenMetrics has it
    return float(sum(s.value for s in samples if s.name in names and labels.items() <= s.labels.items()))


@contextmanager
def tunnel(cluster: Cluster, namespace: str, target: str, ports: Sequence[int]) -> Iterator[dict[int, int]]:
    """Local ports on 127.0.0.1 that lead into one pod, whatever its network policies say: {pod's port: local port}."""
    command = [
        *(str(cluster.kubectl_bin), f"--kubeconfig={cluster.kubeconfig}", f"--context={cluster.context}"),
        *("port-forward", f"--namespace={namespace}", target, *(f":{port}" for port in ports)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=quiet_env())
    try:
        yield forwarded(process, target, len(ports))
    finally:
        process.terminate()
        process.communicate(timeout=FORWARD_S)


def forwarded(process: "subprocess.Popen[bytes]", target: str, count: int) -> dict[int, int]:
    """The local ports that kubectl says it forwards. Raises Failed when it ends or says nothing for 15 s."""
    assert process.stdout is not None  # noqa: S101 - Popen was asked for a pipe
    deadline, said = time.monotonic() + FORWARD_S, ""
    while len(found := {int(port): int(local) for local, port in FORWARDED.findall(said)}) < count:
        readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        more = os.read(process.stdout.fileno(), 4096) if readable else b""
        if not more:
            process.kill()
            _, error = process.communicate()
            raise Failed(f"no tunnel into {target}: {error.decode().strip() or 'kubectl port-forward says nothing'}")
        said += more.decode()
    return found


@contextmanager
def replicas_of(
    cluster: Cluster,
    namespace: str,
    chosen: Sequence[Pod],
    ports: Ports = Ports(HTTP_PORT, GRPC_PORT),  # noqa: B008 - it can't be changed
    wire: Wire = TENSORFLOW,
) -> Iterator[dict[str, Endpoint]]:
    """A tunnel into each of the pods, to each of its ports: {pod's name: endpoint}."""
    wanted = [port for port in ports if port]
    with ExitStack() as tunnels:
        opened = {
            pod.name: tunnels.enter_context(tunnel(cluster, namespace, f"pod/{pod.name}", wanted)) for pod in chosen
        }
        yield {name: endpoint_of(name, ports, local, wire) for name, local in opened.items()}


def endpoint_of(name: str, ports: Ports, local: Mapping[int, int], wire: Wire) -> Endpoint:
    """A replica by the local ends of its tunnel: {its port: local port}."""
    at = {port: f"127.0.0.1:{number}" for port, number in local.items()}
    management, metrics = (f"http://{at[port]}" if port else "" for port in (ports.management, ports.metrics))
    return Endpoint(
        name,
        f"http://{at[ports.rest]}",
        at.get(ports.grpc, ""),
        wire=wire,
        management=management,
        metrics=metrics,
    )


def front_door(cluster: Cluster, hostname: str, wire: Wire = TENSORFLOW) -> Endpoint:
    """The gateway, where users' requests come in."""
    address = f"127.0.0.1:{cluster.gateway_port}"
    return Endpoint(f"gateway {hostname}", f"http://{address}", address, hostname, wire=wire)
