"""A cluster that is nothing but an API server of a hundred lines, and a model store in a folder."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from shakedown.cluster import Cluster
from shakedown.settings import Provider

NAMESPACE = "model-serving"
KEY = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")  # as the API server has it


class Api(ThreadingHTTPServer):
    """Keeps namespaces with their annotations, and writes down what it is asked to change."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spaces: dict[str, dict[str, Any]] = {NAMESPACE: {"name": NAMESPACE, "annotations": {}}}
        self.asked: list[tuple[str, str, Any]] = []
        self.refuse = 0  # this many requests are answered with 503 first

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of the stack's namespace."""
        found: dict[str, str] = self.spaces[NAMESPACE]["annotations"]
        return found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Api

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, code: int, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/api/v1/namespaces").strip("/")
        if not name:
            self.answer(200, {"items": [{"metadata": space} for space in self.server.spaces.values()]})
        elif name in self.server.spaces:
            self.answer(200, {"metadata": self.server.spaces[name]})
        else:
            self.answer(404, {"message": "no such namespace"})

    def change(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        if self.server.refuse:
            self.server.refuse -= 1
            return self.answer(503, {"message": "not now"})
        self.server.asked.append((self.command, self.path, body))
        name = self.path.rpartition("/namespaces/")[2]
        if self.command == "PATCH" and name in self.server.spaces:
            kept = self.server.spaces[name]["annotations"]
            if not all(KEY.fullmatch(key) for key in body["metadata"]["annotations"]):
                return self.answer(422, {"message": "an annotation's name is not valid"})
            for key, value in body["metadata"]["annotations"].items():
                kept.pop(key, None)
                kept.update({key: value} if value is not None else {})
        return self.answer(200, {})

    do_PATCH = do_DELETE = do_POST = change  # noqa: N815 - the base class names them


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cluster(api: Api, tmp_path: Path) -> Cluster:
    """The API server and a store with one model version, owned by the run."""
    model = tmp_path / "home" / "models" / "digits" / "2"
    model.mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(bytes(range(200)))
    kubeconfig = tmp_path / "home" / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{api.server_address[1]}"}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "users": [{"name": "test", "user": {}}],
            }
        )
    )
    return Cluster(
        name="test",
        provider=Provider.KIND,
        kubeconfig=kubeconfig,
        context="test",
        kubectl_bin=Path("/nowhere/kubectl"),
        owned=True,
        gateway_port=1,
        store=tmp_path / "home" / "models",
    )


@pytest.fixture
def foreign(cluster: Cluster) -> Cluster:
    """The same, but not the run's own."""
    return replace(cluster, owned=False, provider=Provider.EXISTING, store=None)
