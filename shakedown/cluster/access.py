"""A cluster as the rest of the library sees it: its API, kubectl against it, and its front door."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kubernetes import client, config

from shakedown.settings import Provider
from shakedown.verdict import Inconclusive

REQUEST_TIMEOUT_S = 15.0  # an API server that says nothing for this long is not there


class PatientClient(client.ApiClient):  # type: ignore[misc] # the package ships no types
    """The Kubernetes client with a time limit on every request, so that a dead cluster is noticed."""

    def call_api(self, *args: Any, _request_timeout: float | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        """Send one request, with the limit unless the caller set one."""
        return super().call_api(*args, _request_timeout=_request_timeout or REQUEST_TIMEOUT_S, **kwargs)


@dataclass(frozen=True)
class Node:
    """One node: `control_plane` where it runs the API server, `address` its internal IPv4 address."""

    name: str
    ready: bool
    control_plane: bool
    address: str
    pod_cidr: str
    schedulable: bool


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    `owned` says whether this run made it (only then may faults go anywhere in it), `gateway_port` is the
    front door's port on 127.0.0.1, `stages` holds the seconds that each step of its making took, `store` the
    host folder that all its nodes see at /models.
    """

    name: str
    provider: Provider
    kubeconfig: Path
    context: str
    kubectl_bin: Path
    owned: bool
    gateway_port: int
    store: Path | None = None
    stages: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def api(self) -> client.ApiClient:
        """The client for the typed APIs of the kubernetes package."""
        settings = client.Configuration()
        config.load_kube_config(config_file=str(self.kubeconfig), context=self.context, client_configuration=settings)
        settings.retries = False  # a retry would hide an API server that fails
        return PatientClient(settings)

    @cached_property
    def core(self) -> client.CoreV1Api:
        """Pods, nodes, Services and the like."""
        return client.CoreV1Api(self.api)

    @cached_property
    def apps(self) -> client.AppsV1Api:
        """Deployments, DaemonSets and the like."""
        return client.AppsV1Api(self.api)

    def text(self, path: str) -> str:
        """GET any path of the API server, as text."""
        request = self.api.param_serialize(
            "GET", path, header_params={"Accept": "application/json, */*"}, auth_settings=["BearerToken"]
        )
        response = self.api.call_api(*request)
        response.read()
        if response.status != 200:
            raise client.ApiException(status=response.status, reason=f"GET {path}: {response.reason}")
        return str(response.data.decode())

    def get(self, path: str) -> dict[str, Any]:
        """GET any path of the API server, as JSON."""
        parsed = json.loads(self.text(path))
        return dict(parsed)

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl against this cluster and give back what it printed.

        Raises CommandFailed with what it said on stderr, and Inconclusive when it hangs.
        """
        command = [str(self.kubectl_bin), f"--kubeconfig={self.kubeconfig}", f"--context={self.context}", *args]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=quiet_env()
            )
        except subprocess.TimeoutExpired as hung:
            raise Inconclusive(f"kubectl {' '.join(args)}: no answer within {timeout:g} s") from hung
        if done.returncode:
            raise CommandFailed(f"kubectl {' '.join(args)}: {done.stderr.strip()}", done.returncode, done.stderr)
        return done.stdout

    def silence(self) -> str:
        """Why the API server can't be talked to; empty where it answers within a few tries."""
        reason = ""
        for _ in range(3):
            try:
                self.api.call_api("GET", f"{self.api.configuration.host}/readyz", _request_timeout=4)
            except Exception as error:  # noqa: BLE001 - whatever the transport says, it is the answer here
                reason = f"{type(error).__name__}: {str(error)[:120]}"
                time.sleep(1)
            else:
                return ""
        return reason

    def nodes(self) -> list[Node]:
        """All nodes, by name."""
        return sorted((node_of(item) for item in self.core.list_node().items), key=lambda node: node.name)


class CommandFailed(Exception):
    """A command that the suite ran said no; `code` and `stderr` are what it left."""

    def __init__(self, message: str, code: int, stderr: str) -> None:
        super().__init__(message)
        self.code, self.stderr = code, stderr


def quiet_env() -> dict[str, str]:
    """This process's environment without a KUBECONFIG that could mean somebody else's cluster."""
    return {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}


def node_of(item: Any) -> Node:  # noqa: ANN401 - the client ships no types
    """The API's node object as what the suites ask of it."""
    labels = item.metadata.labels or {}
    addresses = {a.type: a.address for a in item.status.addresses or []}
    ready = any(c.type == "Ready" and c.status == "True" for c in item.status.conditions or [])
    return Node(
        name=item.metadata.name,
        ready=ready,
        control_plane="node-role.kubernetes.io/control-plane" in labels,
        address=addresses.get("InternalIP", ""),
        pod_cidr=item.spec.pod_cidr or "",
        schedulable=not item.spec.unschedulable,
    )
