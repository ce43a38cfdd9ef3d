"""Looks at the autoscaler and at a Deployment's pods, for watchers; each raises where the object is not there."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from shakedown.api_paths import autoscaler_path, deployment_path
from shakedown.cluster import Cluster
from shakedown.observe.watch import Look, Sight
from shakedown.serving import selector_of

Json = Mapping[str, Any]


def hpa(cluster: Cluster, namespace: str, name: str) -> Look:
    """Looks at one HorizontalPodAutoscaler; what it sees is `hpa` in the ledger.

    Fields: `name`, `desired`, `current`, `least`, `most` (replicas), `conditions` ({type: "status reason"}) and
    `metrics` ({name: its current value as the API writes it, None where there is none}).
    """
    path = autoscaler_path(namespace, name)

    def look() -> list[Sight]:
        found = cluster.get(path)
        status, spec = found.get("status", {}), found["spec"]
        fields = {
            "name": name,
            "desired": status.get("desiredReplicas", 0),
            "current": status.get("currentReplicas", 0),
            "least": spec.get("minReplicas", 1),
            "most": spec["maxReplicas"],
            "conditions": {c["type"]: f"{c['status']} {c['reason']}" for c in status.get("conditions", [])},
            "metrics": dict(metric(each) for each in status.get("currentMetrics") or [] if each.get("type")),
        }
        return [Sight("hpa", name, fields)]

    return look


def metric(current: Json) -> tuple[str, str | None]:
    """Name and current value of one of an HPA's metrics: what `kubectl get hpa` shows, else the average."""
    source = current[current["type"][0].lower() + current["type"][1:]]
    name = source.get("name") or source.get("metric", {}).get("name", "")
    value = source.get("current", {})
    shown = (value.get(key) for key in ("averageUtilization", "averageValue", "value"))
    return name, next((str(each) for each in shown if each is not None), None)


def replicas(cluster: Cluster, namespace: str, name: str, scaler: str = "") -> Look:
    """Looks at how many servers a Deployment has, for the timeline; what it sees is `replicas` in the ledger.

    Fields: `name`, `wanted`, `ready`, `updated` (of its newest template), and `desired` by the autoscaler that is
    named, if one is.
    """
    path = deployment_path(namespace, name)
    scaled = autoscaler_path(namespace, scaler)

    def look() -> list[Sight]:
        found = cluster.get(path)
        status = found.get("status", {})
        fields = {
            "name": name,
            "wanted": found["spec"].get("replicas", 1),
            "ready": status.get("readyReplicas", 0),
            "updated": status.get("updatedReplicas", 0),
        }
        if scaler:
            fields["desired"] = cluster.get(scaled).get("status", {}).get("desiredReplicas", 0)
        return [Sight("replicas", name, fields)]

    return look


def workload(cluster: Cluster, namespace: str, name: str) -> Look:
    """Looks at a Deployment and its pods; what it sees is `pods` and `pod` in the ledger.

    Fields of `pods`: `name`, `wanted`, `ready`, `ending` (counts), and `by_node` ({node: ready pods}).
    Fields of `pod`: `name`, `phase`, `ready`, `restarts`, `node`, `what` (what it waits for, or why it ended last),
    `ending`, `created` (seconds since 1970).
    """
    path = deployment_path(namespace, name)
    deployment = cluster.get(path)
    pods = f"/api/v1/namespaces/{namespace}/pods?labelSelector={quote(selector_of(deployment))}"

    def look() -> list[Sight]:
        wanted = cluster.get(path)["spec"].get("replicas", 1)
        seen = [pod_fields(item) for item in cluster.get(pods)["items"]]
        ready = [each for each in seen if each["ready"] and not each["ending"]]
        nodes = sorted({str(each["node"]) for each in ready})
        count = {
            "name": name,
            "wanted": wanted,
            "ready": len(ready),
            "ending": sum(bool(each["ending"]) for each in seen),
            "by_node": {node: sum(each["node"] == node for each in ready) for node in nodes},
        }
        return [Sight("pods", name, count), *(sight_of(each) for each in seen)]

    return look


def sight_of(pod: dict[str, object]) -> Sight:
    """One pod's sight; once it is gone, so much is written down."""
    return Sight("pod", str(pod["name"]), pod, farewell={**pod, "phase": "Gone", "ready": False})


def pod_fields(item: Json) -> dict[str, object]:
    """One pod as the ledger has it."""
    status, statuses = item["status"], item["status"].get("containerStatuses") or []
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    return {
        "name": item["metadata"]["name"],
        "phase": status.get("phase", ""),
        "ready": conditions.get("Ready", {}).get("status") == "True",
        "restarts": sum(each["restartCount"] for each in statuses),
        "node": item["spec"].get("nodeName", ""),
        "what": what(statuses) or unscheduled(conditions),
        "ending": "deletionTimestamp" in item["metadata"],
        "created": datetime.fromisoformat(item["metadata"]["creationTimestamp"]).timestamp(),
    }


def what(statuses: Sequence[Json]) -> str:
    """What a container waits for, or why its last run ended; empty where there is nothing to say."""
    for each in statuses:
        now_, before = each.get("state", {}), each.get("lastState", {})
        said = now_.get("waiting") or now_.get("terminated") or before.get("terminated")
        if said:
            return f"{said.get('reason', '')} {said.get('exitCode', '')}".strip()
    return ""


def unscheduled(conditions: Mapping[str, Json]) -> str:
    """Why a pod is on no node; empty where it is on one."""
    scheduled = conditions.get("PodScheduled", {})
    return str(scheduled.get("reason", "")) if scheduled.get("status") == "False" else ""
