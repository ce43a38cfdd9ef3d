"""Changes to a Deployment's pods that are taken back, and waited for, on the way out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shakedown.cluster import Cluster
from shakedown.manifests import lateness_of_rollout
from shakedown.serving import selector_of
from shakedown.wait import NotYet, eventually


def lateness(cluster: Cluster, namespace: str, name: str) -> str:
    """What a Deployment lacks until its latest template is out and no older pod is left, ending ones included."""
    seen = cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    if late := lateness_of_rollout("Deployment", name, seen):
        return late
    pods = cluster.core.list_namespaced_pod(namespace, label_selector=selector_of(seen)).items
    ending = [pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp]
    return f"{', '.join(ending)} still ending" if ending else ""


def await_rollout(cluster: Cluster, namespace: str, name: str, within: float) -> None:
    """Wait until a Deployment's latest template is out and no pod of an older one is left, ending ones included."""

    def out() -> None:
        if late := lateness(cluster, namespace, name):
            raise NotYet(late)

    eventually(out, within=within, awaited=f"Deployment {namespace}/{name} is rolled out")


@contextmanager
def template_kept(cluster: Cluster, namespace: str, name: str, within: float) -> Iterator[None]:
    """A Deployment's pod template is put back as it was, and rolled out, whatever becomes of it meanwhile."""
    before = cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")["spec"]["template"]
    try:
        yield
    finally:
        back = [{"op": "replace", "path": "/spec/template", "value": before}]
        place = (f"--namespace={namespace}", f"deployment/{name}")
        cluster.kubectl("patch", *place, "--type=json", f"--patch={json.dumps(back)}")
        await_rollout(cluster, namespace, name, within)


@contextmanager
def template_changed(
    cluster: Cluster, namespace: str, name: str, patch: dict[str, Any], within: float
) -> Iterator[None]:
    """Change a Deployment's pod template by a strategic merge patch; put back as it was, and rolled out, at the end."""
    with template_kept(cluster, namespace, name, within):
        place = (f"--namespace={namespace}", f"deployment/{name}")
        cluster.kubectl("patch", *place, f"--patch={json.dumps({'spec': {'template': patch}})}")
        yield
