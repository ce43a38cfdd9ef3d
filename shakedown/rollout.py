"""Changes to a Deployment's pods that are taken back, and waited for, on the way out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shakedown.cluster import Cluster
from shakedown.manifests import lateness_of_rollout
from shakedown.serving import selector_of
from shakedown.wait import NotYet, eventually


def await_rollout(cluster: Cluster, namespace: str, name: str, within: float) -> None:
    """Wait until a Deployment's latest template is out and no pod of an older one is left, ending ones included."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"

    def out() -> None:
        seen = cluster.get(path)
        late = lateness_of_rollout("Deployment", name, seen)
        if late:
            raise NotYet(late)
        pods = cluster.core.list_namespaced_pod(namespace, label_selector=selector_of(seen)).items
        if ending := [pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp]:
            raise NotYet(f"{', '.join(ending)} still ending")

    eventually(out, within=within, awaited=f"Deployment {namespace}/{name} is rolled out")


@contextmanager
def template_changed(
    cluster: Cluster, namespace: str, name: str, patch: dict[str, Any], within: float
) -> Iterator[None]:
    """Change a Deployment's pod template by a strategic merge patch; put back as it was, and rolled out, at the end."""
    place = (f"--namespace={namespace}", f"deployment/{name}")
    before = cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")["spec"]["template"]
    cluster.kubectl("patch", *place, f"--patch={json.dumps({'spec': {'template': patch}})}")
    try:
        yield
    finally:
        back = [{"op": "replace", "path": "/spec/template", "value": before}]
        cluster.kubectl("patch", *place, "--type=json", f"--patch={json.dumps(back)}")
        await_rollout(cluster, namespace, name, within)
