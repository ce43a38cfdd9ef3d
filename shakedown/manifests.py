"""From a kustomization to a stack that is rolled out: render, apply, wait, and say what is in the way."""

import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shakedown.cluster import Cluster
from shakedown.verdict import Failed, UnusableEnvironment
from shakedown.wait import NotYet, eventually
from shakedown.workloads import last_words, troubles

Manifest = dict[str, Any]
ROLLED_OUT = ("Deployment", "StatefulSet", "DaemonSet")
FOUND = (  # what is read of a stack that is there already; never a Secret
    *("deployments", "statefulsets", "daemonsets", "jobs", "horizontalpodautoscalers"),
    *("persistentvolumeclaims", "services", "configmaps", "poddisruptionbudgets", "networkpolicies"),
)


@dataclass(frozen=True)
class Stack:
    """What was applied: the objects as rendered, their digest, and the seconds until all of it was up."""

    objects: tuple[Manifest, ...]
    digest: str
    seconds: float

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that the stack brings."""
        return [o["metadata"]["name"] for o in self.objects if o["kind"] == "Namespace"]

    def find(self, kind: str, name: str) -> Manifest:
        """One object as it was rendered; raises KeyError where there is none."""
        for item in self.objects:
            if item["kind"] == kind and item["metadata"]["name"] == name:
                return item
        raise KeyError(f"{kind} {name}")

    def images(self) -> list[str]:
        """Every image that the stack's pods name."""
        return sorted({container["image"] for item in self.objects for container in containers(item)})


def running_images(cluster: Cluster, namespaces: Sequence[str]) -> dict[str, str]:
    """The digest that ran of each image that pods of these namespaces name, as the nodes tell it."""
    return {
        status.image: status.image_id
        for namespace in namespaces
        for pod in cluster.core.list_namespaced_pod(namespace).items
        for status in pod.status.container_statuses or []
        if status.image_id
    }


def containers(item: Manifest) -> Iterator[Manifest]:
    """The containers of an object that makes pods."""
    template = item.get("spec", {}).get("template", {})
    spec = template.get("spec", {}) if isinstance(template, dict) else {}
    yield from spec.get("initContainers", [])
    yield from spec.get("containers", [])


def render(
    kubectl: Path, overlay: Path, components: Sequence[Path] = (), patches: Sequence[Manifest] = ()
) -> tuple[Manifest, ...]:
    """The objects of an overlay with components and patches on top, as kustomize renders them.

    A patch is an object with what is to change (a strategic merge), {target, patch} as kustomize has it, or
    {add: object} for one more object.
    Raises UnusableEnvironment with kustomize's words where it can't be rendered.
    """
    with tempfile.TemporaryDirectory(dir=overlay.parent, prefix=".render-") as folder:
        relative = [os.path.relpath(path, folder) for path in (overlay, *components)]
        added = [patch["add"] for patch in patches if "add" in patch]
        (Path(folder) / "added.yaml").write_text(yaml.safe_dump_all(added))
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [*relative[:1], *(["added.yaml"] if added else [])],
            "components": relative[1:],
            "patches": [p if "target" in p else {"patch": yaml.safe_dump(p)} for p in patches if "add" not in p],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        done = subprocess.run([str(kubectl), "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnusableEnvironment(f"kubectl kustomize {overlay}: {done.stderr.strip()}")
    return tuple(document for document in yaml.safe_load_all(done.stdout) if document)


def digest(objects: Sequence[Manifest]) -> str:
    """A digest of rendered objects, by which a verdict says what it judged."""
    return f"sha256:{hashlib.sha256(yaml.safe_dump_all(objects, sort_keys=True).encode()).hexdigest()}"


def apply(cluster: Cluster, objects: Sequence[Manifest], within: float) -> Stack:
    """Apply objects server-side and wait until all of it is up.

    Raises Failed naming the object and the reason: at once where waiting can't help, else after `within` seconds.
    """
    started = time.monotonic()
    cluster.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--field-manager=shakedown", "--filename=-"),
        stdin=yaml.safe_dump_all(objects),
        timeout=120,
    )
    await_up(cluster, objects, within)
    return Stack(tuple(objects), digest(objects), time.monotonic() - started)


def found(cluster: Cluster, namespace: str, workload: str, within: float) -> Stack:
    """The stack that a namespace of an existing cluster holds already; nothing is applied, all is waited for."""
    started = time.monotonic()
    kinds = ",".join(FOUND)
    listed = json.loads(cluster.kubectl("get", kinds, f"--namespace={namespace}", "--output=json"))["items"]
    if not any(item["kind"] in ROLLED_OUT for item in listed):
        raise UnusableEnvironment(f"namespace {namespace!r} of {cluster.context} holds no workload to judge")
    deployments = [item["metadata"]["name"] for item in listed if item["kind"] == "Deployment"]
    if workload not in deployments:
        raise UnusableEnvironment(
            f"namespace {namespace!r} of {cluster.context} has no Deployment {workload!r}, but {deployments}; "
            "name yours in shakedown.toml, deployment.workload: `shakedown init` proposes that file"
        )
    await_up(cluster, listed, within)
    asked = [{**item, "metadata": item["metadata"]["name"], "status": None} for item in listed]
    return Stack(tuple(listed), digest(asked), time.monotonic() - started)


def apply_definitions(cluster: Cluster, folders: Sequence[Path], within: float) -> None:
    """Apply custom resource definitions, and wait until the API server serves them."""
    files = [f"--filename={folder}" for folder in folders]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--recursive", *files, timeout=within)
    cluster.kubectl(
        *("wait", "--for=condition=Established", "customresourcedefinitions", "--all", f"--timeout={within:g}s"),
        timeout=within + 10,
    )


def await_up(cluster: Cluster, objects: Sequence[Manifest], within: float) -> None:
    """Wait until workloads are rolled out, Jobs complete, claims bound, gateways programmed and added APIs answer.

    Raises Failed naming the object and the reason, with the last words of a pod that isn't Ready.
    """
    namespaces = sorted({item["metadata"].get("namespace", "") for item in objects} - {""})

    def up() -> None:
        """The whole stack is up."""
        late = [reason for item in objects if (reason := lateness(cluster, item))]
        if not late:
            return
        found = [trouble for namespace in namespaces for trouble in troubles(cluster, namespace)]
        hopeless = [trouble.text for trouble in found if trouble.hopeless]
        if hopeless:
            raise Failed(f"{hopeless[0]}; {late[0]}")
        reasons = [trouble.text for trouble in found[:2]]
        raise NotYet("; ".join([*late[:3], *reasons]))

    try:
        eventually(up, within=within)
    except Failed as error:
        words = last_words(cluster, namespaces)
        raise Failed("; ".join(filter(None, [str(error), words]))) from error


def lateness(cluster: Cluster, item: Manifest) -> str:
    """What an object still lacks to be up; empty where it lacks nothing. A Job that failed raises Failed."""
    kind, name = item["kind"], item["metadata"]["name"]
    if kind not in PLURALS:
        return ""
    seen = cluster.get(api_path(item))
    if kind in CONDITIONS:
        return lateness_of_conditions(kind, name, seen)
    status = seen.get("status", {})
    if kind in ROLLED_OUT:
        return lateness_of_rollout(kind, name, seen)
    if kind == "Job":
        return lateness_of_job(name, seen)
    if kind == "PersistentVolumeClaim":
        return "" if status.get("phase") == "Bound" else f"claim {name} is {status.get('phase')}"
    least, current = seen["spec"].get("minReplicas", 1), status.get("currentReplicas", 0)
    return "" if current >= least else f"HPA {name} has {current} of at least {least} replicas"


def lateness_of_conditions(kind: str, name: str, seen: Manifest) -> str:
    """Which of its kind's conditions an object does not meet yet, with what its controller says of it."""
    met = {c["type"]: c for c in seen.get("status", {}).get("conditions", [])}
    for wanted in CONDITIONS[kind]:
        condition = met.get(wanted, {})
        stale = condition.get("observedGeneration", 0) < seen["metadata"].get("generation", 0)
        if "observedGeneration" in condition and stale:
            return f"{kind} {name}: its latest change is not yet taken up"
        if condition.get("status") != "True":
            said = f"{condition.get('reason', '')} {condition.get('message', '')}".strip()
            return f"{kind} {name} is not {wanted}: {said or 'its controller says nothing'}"
    return ""


def lateness_of_rollout(kind: str, name: str, seen: Manifest) -> str:
    """How far a roll-out is, in words; empty where its latest generation is out and nothing older is left."""
    status, spec = seen.get("status", {}), seen["spec"]
    if status.get("observedGeneration", 0) < seen["metadata"]["generation"]:
        return f"{kind} {name}: its latest change is not yet taken up"
    wanted = status.get("desiredNumberScheduled", 0) if kind == "DaemonSet" else spec.get("replicas", 1)
    updated = status.get("updatedNumberScheduled" if kind == "DaemonSet" else "updatedReplicas", 0)
    available = status.get("numberAvailable" if kind == "DaemonSet" else "availableReplicas", 0)
    total = status.get("currentNumberScheduled" if kind == "DaemonSet" else "replicas", 0)
    if updated == available == total == wanted:
        return ""
    return f"{kind} {name}: {available} of {wanted} available, {updated} up to date, {total - updated} old"


def lateness_of_job(name: str, seen: Manifest) -> str:
    """Whether a Job has yet to end; raises Failed where it ended badly."""
    conditions = {c["type"]: c for c in seen.get("status", {}).get("conditions", []) if c["status"] == "True"}
    if "Failed" in conditions:
        said = conditions["Failed"]
        place = f"--namespace={seen['metadata']['namespace']}"
        raise Failed(f"Job {name} failed: {said.get('message', '')}; see kubectl logs {place} job/{name}")
    return "" if "Complete" in conditions else f"Job {name} has not ended"


# kinds whose controller says in conditions whether they are up
CONDITIONS = {
    "Gateway": ("Programmed",),
    "APIService": ("Available",),
    "Prometheus": ("Reconciled", "Available"),
    "Alertmanager": ("Reconciled", "Available"),
}
PLURALS = {
    "APIService": "apiservices",
    "Prometheus": "prometheuses",
    "Alertmanager": "alertmanagers",
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "Job": "jobs",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Gateway": "gateways",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
}


def api_path(item: Manifest) -> str:
    """Where the API server keeps an object of a kind that is waited for."""
    version = item["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    meta = item["metadata"]
    place = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{root}{place}/{PLURALS[item['kind']]}/{meta['name']}"
