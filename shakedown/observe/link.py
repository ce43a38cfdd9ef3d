"""A way to a Service inside the cluster that survives its pods: a tunnel, opened anew where it broke."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Any

import requests

from shakedown.cluster import Cluster
from shakedown.serving import tunnel
from shakedown.verdict import Failed, Inconclusive

ANSWER_S = 15.0
Opener = Callable[[ExitStack], int]


class Unreachable(Inconclusive):
    """What should be asked isn't there now; the message names it and says what the tunnel or the client said."""


class Link:
    """HTTP to one Service, for many threads.

    The tunnel leads into one pod, past the NetworkPolicies that would stop the API server's own proxy, and dies with
    it. A GET that meets a dead tunnel is sent once more, through a new one; anything else is sent once.
    """

    def __init__(self, name: str, open_tunnel: Opener) -> None:
        self.name, self.open_tunnel = name, open_tunnel
        self.lock, self.life, self.port = threading.Lock(), ExitStack(), 0

    def get(self, path: str, **params: str) -> Any:  # noqa: ANN401 - JSON
        """GET a path; its JSON. Raises Unreachable, and Failed for any answer but 200."""
        try:
            return self.send("GET", path, params=params)
        except Unreachable:
            return self.send("GET", path, params=params)

    def send(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - what requests takes; JSON
        """Send one request; the answer's JSON, None where it has no body. Raises Unreachable, and Failed unless 2xx."""
        port = self.opened()
        try:
            answer = requests.request(method, f"http://127.0.0.1:{port}{path}", timeout=ANSWER_S, **options)
        except requests.RequestException as error:
            self.drop(port)
            raise Unreachable(f"{self.name} doesn't answer: {type(error).__name__}: {str(error)[:150]}") from error
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:  # it listens before it can answer
            raise Unreachable(f"{self.name} isn't ready: {method} {path}: HTTP 503: {answer.text[:150]}")
        if not answer.ok:
            raise Failed(f"{self.name}: {method} {path}: HTTP {answer.status_code}: {answer.text[:300]}")
        return answer.json() if answer.content else None

    def opened(self) -> int:
        """The tunnel's local port, opened where there is none."""
        with self.lock:
            if not self.port:
                try:
                    self.port = self.open_tunnel(self.life)
                except Failed as error:
                    raise Unreachable(f"{self.name}: {error}") from error
            return self.port

    def drop(self, port: int) -> None:
        """Close the tunnel that had this port, unless another thread has already."""
        with self.lock:
            if self.port == port:
                self.life.close()
                self.port = 0

    def close(self) -> None:
        """End the tunnel."""
        self.drop(self.port)


@contextmanager
def link(cluster: Cluster, namespace: str, service: str, port: int) -> Iterator[Link]:
    """A link to one port of a Service, closed at the end; nothing is asked before the first request."""

    def open_tunnel(life: ExitStack) -> int:
        return life.enter_context(tunnel(cluster, namespace, f"service/{service}", [port]))[port]

    made = Link(f"{namespace}/{service}", open_tunnel)
    try:
        yield made
    finally:
        made.close()
