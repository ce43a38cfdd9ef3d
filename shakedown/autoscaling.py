"""What the autoscaler should do by its configuration and by the formula that Kubernetes states, and what it reads."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from kubernetes.client import ApiException

from shakedown.api_paths import autoscaler_path
from shakedown.cluster import Cluster
from shakedown.lint.quantity import quantity
from shakedown.observe.watch import Look, Sight
from shakedown.pace import seconds
from shakedown.verdict import Failed
from shakedown.wait import NotYet
from shakedown.workloads import troubles

TOLERANCE = 0.1  # --horizontal-pod-autoscaler-tolerance's default: within it, nothing changes
SYNC = "--horizontal-pod-autoscaler-sync-period"
SYNC_S = 15.0  # its default

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Scaler:
    """One HPA's configuration.

    `cpu` is the target in percent of the request, `rate` the target of the external metric `metric` for each pod,
    `selector` that metric's. `down_window` is the stabilisation window and `down_pods` in `down_period` the fastest way
    down; times in seconds.
    """

    name: str
    least: int
    most: int
    cpu: float
    metric: str
    selector: str
    rate: float
    down_window: float
    down_pods: int
    down_period: float

    def proposal(self, replicas: int, total: float, target: float) -> int:
        """How many replicas a metric asks for, whose total over all is `total` and which should be `target` for each.

        Bounded by the HPA's minimum and maximum; within the tolerance of 10 % as many as there are.
        """
        return min(self.most, max(self.least, self.asks_for(replicas, total, target)))

    def asks_for(self, replicas: int, total: float, target: float) -> int:
        """The same without the bounds: what a load would need."""
        ratio = total / (target * replicas)
        return replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(round(ratio * replicas, 6))

    def rests(self, replicas: int, total: float, target: float) -> bool:
        """Whether the formula leaves the number of replicas as it is."""
        return self.proposal(replicas, total, target) == replicas

    def require_room(self) -> None:
        """Raise Failed where the autoscaler has nothing to choose from."""
        if self.most <= self.least:
            raise Failed(
                f"HorizontalPodAutoscaler {self.name}: maxReplicas {self.most} leaves no room above minReplicas"
                f" {self.least}: no load is followed"
            )


def scaler_of(hpa: Json) -> Scaler:
    """An HPA as the API server has it.

    Raises Failed without a target of CPU, or of an external rate for each pod, and without a scale-down policy in pods.
    """
    name, spec = hpa["metadata"]["name"], hpa["spec"]
    targets = {each["resource"]["name"]: each["resource"]["target"] for each in spec["metrics"] if "resource" in each}
    external: Json = next((each["external"] for each in spec["metrics"] if each["type"] == "External"), {})
    cpu = targets.get("cpu", {}).get("averageUtilization")
    rate = quantity(external.get("target", {}).get("averageValue"))
    if cpu is None or rate is None:
        raise Failed(
            f"HorizontalPodAutoscaler {name} must have a target of CPU (averageUtilization) and one of requests"
            " (External, AverageValue: a Value isn't divided by the replicas);"
            f" it has {sorted(each['type'] for each in spec['metrics'])}"
        )
    down = spec.get("behavior", {}).get("scaleDown", {})
    policy = next((each for each in down.get("policies", []) if each["type"] == "Pods"), None)
    if policy is None or "stabilizationWindowSeconds" not in down:
        raise Failed(
            f"HorizontalPodAutoscaler {name}: spec.behavior.scaleDown must have a stabilizationWindowSeconds and a"
            f" policy of type Pods, by which its way back is judged; it has {down or 'nothing'}"
        )
    labels = external["metric"].get("selector", {}).get("matchLabels", {})
    return Scaler(
        name=name,
        least=spec.get("minReplicas", 1),
        most=spec["maxReplicas"],
        cpu=float(cpu),
        metric=external["metric"]["name"],
        selector=",".join(f"{key}={value}" for key, value in labels.items()),
        rate=float(rate),
        down_window=float(down["stabilizationWindowSeconds"]),
        down_pods=policy["value"],
        down_period=float(policy["periodSeconds"]),
    )


def cpu_request(deployment: Json) -> float:
    """The cores that one server asks for, by its Deployment. Raises Failed where a container names none."""
    name, total = deployment["metadata"]["name"], 0.0
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        asked = quantity(container.get("resources", {}).get("requests", {}).get("cpu"))
        if asked is None:
            raise Failed(
                f"Deployment {name}: container {container['name']} has no resources.requests.cpu: the autoscaler's CPU"
                " is a share of it, and is none, or one of the limit or of a LimitRange's default"
            )
        total += float(asked)
    return total


def live(cluster: Cluster, namespace: str, name: str) -> Json:
    """An HPA as the API server has it now."""
    return cluster.get(autoscaler_path(namespace, name))


def sync_period(cluster: Cluster) -> float:
    """The seconds between two looks of the HPA controller, as the running control plane was told."""
    pods = cluster.core.list_namespaced_pod("kube-system", label_selector="component=kube-controller-manager").items
    arguments = [each for pod in pods for each in pod.spec.containers[0].command]
    told = [each.partition("=")[2] for each in arguments if each.startswith(SYNC)]
    return float(told[0].rstrip("s")) if told else SYNC_S


@dataclass(frozen=True)
class Reading:
    """One metric as the HPA gets it: `value` in its unit, `taken` in seconds since 1970."""

    value: float
    taken: float


def rate_of(cluster: Cluster, namespace: str, scaler: Scaler) -> Reading:
    """The external metric. Raises Failed where nobody serves it, and where it has no value."""
    root = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}"
    try:
        items = cluster.get(f"{root}/{scaler.metric}?labelSelector={quote(scaler.selector)}")["items"]
    except ApiException as error:
        raise Failed(
            f"external metric {scaler.metric} can't be read: {error.status} {error.reason}; see the adapter's rule and"
            " APIService v1beta1.external.metrics.k8s.io"
        ) from error
    if len(items) != 1:
        raise Failed(f"external metric {scaler.metric}{{{scaler.selector}}} has {len(items)} values: see the rule")
    value = quantity(items[0]["value"])
    return Reading(float(value or 0), datetime.fromisoformat(items[0]["timestamp"]).timestamp())


def cpu_of(cluster: Cluster, namespace: str, selector: str) -> dict[str, Reading]:
    """The CPU of each pod in cores, as metrics-server has it. Raises Failed where nobody serves it."""
    return {
        item["metadata"]["name"]: Reading(
            sum(float(quantity(each["usage"]["cpu"]) or 0) for each in item["containers"]),
            datetime.fromisoformat(item["timestamp"]).timestamp(),
        )
        for item in resource_metrics(cluster, namespace, selector)
    }


def require_cpu_since(cluster: Cluster, namespace: str, selector: str, moment: float) -> None:
    """Raise NotYet while the CPU of a pod, as an HPA would read it, is one of before a moment (seconds since 1970)."""
    items = resource_metrics(cluster, namespace, selector)
    if not items:
        raise NotYet("there is no CPU of any pod")
    for item in items:
        if datetime.fromisoformat(item["timestamp"]).timestamp() - seconds(item["window"]) < moment:
            raise NotYet(f"{item['metadata']['name']}'s is that of the {item['window']} until {item['timestamp']}")


def resource_metrics(cluster: Cluster, namespace: str, selector: str) -> list[Json]:
    """What metrics-server has of these pods. Raises Failed where nobody serves it."""
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector={quote(selector)}"
    try:
        items: list[Json] = cluster.get(path)["items"]
    except ApiException as error:
        raise Failed(f"resource metrics can't be read: {error.status} {error.reason}; see metrics-server") from error
    return items


def rate_look(cluster: Cluster, namespace: str, scaler: Scaler) -> Look:
    """Looks at the external metric, for a watcher; what it sees is `metric` in the ledger, with `name` and `value`."""

    def look() -> list[Sight]:
        value = rate_of(cluster, namespace, scaler).value
        return [Sight("metric", scaler.metric, {"name": scaler.metric, "value": value})]

    return look


@dataclass(frozen=True)
class Size:
    """How large the Deployment is: what the HPA wants, what exists (ending ones included), and what is ready."""

    desired: int
    there: int
    ready: int

    def __str__(self) -> str:
        return f"the HPA wants {self.desired}, {self.there} pods are there, {self.ready} ready"


def size_of(cluster: Cluster, namespace: str, name: str, selector: str) -> Size:
    """The size now."""
    pods = cluster.core.list_namespaced_pod(namespace, label_selector=selector).items
    ready = [
        pod
        for pod in pods
        if pod.metadata.deletion_timestamp is None
        and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])
    ]
    return Size(live(cluster, namespace, name)["status"].get("desiredReplicas", 0), len(pods), len(ready))


def require_size(cluster: Cluster, namespace: str, name: str, selector: str, wanted: int) -> Size:
    """The size, where it is the wanted one, pods that end included; else NotYet with what keeps pods from starting."""
    seen = size_of(cluster, namespace, name, selector)
    if seen != Size(wanted, wanted, wanted):
        reasons = [trouble.text for trouble in troubles(cluster, namespace, selector)]
        raise NotYet("; ".join([f"{seen}, {wanted} are asked for", *reasons[:2]]))
    return seen
