from collections.abc import Iterator
from functools import lru_cache

from shakedown.lint.objects import Inventory, Obj, Tree, dig, matches, tree, trees
from shakedown.lint.promql import Series
from shakedown.lint.quantity import seconds
from shakedown.lint.reach import Pod
from shakedown.lint.workload import Workload
from shakedown.lint.world import World

MONITORS = ("ServiceMonitor", "PodMonitor")
DEFAULT_INTERVAL_S = 30.0  # what the operator sets where nothing is said
TARGET_LABELS = {"job", "instance", "namespace", "pod", "service", "endpoint", "container", "node", "prometheus"}
HISTOGRAM = ("_bucket", "_sum", "_count")
# series by metric: the labels that they bring themselves (facts of the exporters)
OWN_LABELS: dict[str, set[str]] = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:serving:request_latency": {"model_name", "API", "entrypoint", "le"},
    ":tensorflow:serving:runtime_latency": {"model_name", "API", "runtime", "le"},
    ":tensorflow:serving:request_example_counts": {"model", "le"},
    ":tensorflow:serving:request_example_count_total": {"model"},
    ":tensorflow:serving:model_warmup_latency": {"model_path", "status", "le"},
    ":tensorflow:serving:batching_session:queuing_latency": {"thread_pool_name", "le"},
    ":tensorflow:core:graph_runs": set(),
    ":tensorflow:core:graph_run_time_usecs": set(),
    ":tensorflow:cc:saved_model:load_attempt_count": {"model_path", "status"},
    ":tensorflow:cc:saved_model:load_latency": {"model_path"},
    "container_cpu_usage_seconds_total": {"image", "name", "id", "cpu"},
    "container_cpu_cfs_throttled_seconds_total": {"image", "name", "id"},
    "container_cpu_cfs_periods_total": {"image", "name", "id"},
    "container_cpu_cfs_throttled_periods_total": {"image", "name", "id"},
    "container_memory_working_set_bytes": {"image", "name", "id"},
    "container_memory_usage_bytes": {"image", "name", "id"},
    "container_spec_memory_limit_bytes": {"image", "name", "id"},
    "container_spec_cpu_quota": {"image", "name", "id"},
    "nginx_ingress_controller_requests": {
        "ingress", "exported_namespace", "exported_service", "status", "method", "path", "host", "canary",
        "controller_class", "controller_namespace", "controller_pod",
    },
    "traefik_service_requests_total": {"code", "method", "protocol", "exported_service"},
    "traefik_service_request_duration_seconds": {"code", "method", "protocol", "exported_service", "le"},
    "traefik_router_requests_total": {"code", "method", "protocol", "router", "exported_service"},
    "traefik_router_request_duration_seconds": {"code", "method", "protocol", "router", "exported_service", "le"},
    "traefik_entrypoint_requests_total": {"code", "method", "protocol", "entrypoint"},
    "traefik_entrypoint_request_duration_seconds": {"code", "method", "protocol", "entrypoint", "le"},
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity"},
}  # fmt: skip
FAMILIES = (":tensorflow", "tensorflow:", "tensorflow_", "container_", "traefik_", "nginx_ingress_")


def base_metric(metric: str) -> str:
    """The metric without the suffixes of a histogram."""
    for suffix in HISTOGRAM:
        if metric.removesuffix(suffix) in OWN_LABELS and metric not in OWN_LABELS:
            return metric.removesuffix(suffix)
    return metric


def known_labels(metric: str, world: World) -> set[str] | None:
    """The labels that a series can have; None for a metric whose exporter isn't known here."""
    own = OWN_LABELS.get(base_metric(metric))
    return None if own is None else own | TARGET_LABELS | labels_made(world)


@lru_cache(maxsize=2)
def labels_made(world: World) -> frozenset[str]:
    """The labels that monitors add to what they scrape."""
    added = (
        relabeling.get("targetLabel")
        for monitor in world.of(*MONITORS)
        for endpoint in endpoints(monitor)
        for relabeling in trees(endpoint.get("metricRelabelings"))
    )
    return frozenset(str(label) for label in added if label)


def of_known_family(metric: str) -> bool:
    """Whether the metric's name is one of an exporter whose metrics are all known."""
    return metric.startswith(FAMILIES)


def endpoints(monitor: Obj) -> list[Tree]:
    """What a monitor scrapes of each target."""
    return trees(monitor.spec.get("endpoints" if monitor.kind == "ServiceMonitor" else "podMetricsEndpoints"))


def looks_in(monitor: Obj, namespace: str) -> bool:
    """Whether a monitor looks for targets in a namespace."""
    selector = tree(monitor.spec.get("namespaceSelector"))
    return bool(selector.get("any")) or namespace in (selector.get("matchNames") or [monitor.namespace])


def services(monitor: Obj, inventory: Inventory) -> list[Obj]:
    """The Services that a ServiceMonitor selects."""
    return [
        s
        for s in [*inventory.of("Service"), *operated_services(inventory), KUBELET]
        if looks_in(monitor, s.namespace) and matches(monitor.spec.get("selector"), s.labels)
    ]


# the operator makes this Service with --kubelet-service
KUBELET = Obj(
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubelet", "namespace": "kube-system", "labels": {"k8s-app": "kubelet"}},
        "spec": {"ports": [{"name": "https-metrics", "port": 10250}, {"name": "http-metrics", "port": 10255}]},
    },
    "made by the Prometheus operator",
)


# what the operator makes of each kind: ports of its pods, and of the Service over all of them
OPERATED: dict[str, dict[str | int, int]] = {
    "Prometheus": {"web": 9090},
    "Alertmanager": {"web": 9093, "mesh-tcp": 9094, "mesh-udp": 9094},
}


def operated_services(inventory: Inventory) -> list[Obj]:
    """The Services that the operator makes in the namespaces of its instances."""
    places = {(i.kind.lower(), i.namespace): OPERATED[i.kind] for i in inventory.of(*OPERATED)}
    return [
        Obj(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": f"{kind}-operated",
                    "namespace": namespace,
                    "labels": {f"operated-{kind}": "true", "managed-by": "prometheus-operator"},
                },
                "spec": {"ports": [{"name": name, "port": number} for name, number in ports.items()]},
            },
            "made by the Prometheus operator",
        )
        for (kind, namespace), ports in places.items()
    ]


def operated_claims(inventory: Inventory) -> dict[tuple[str, str], Tree]:
    """Namespace and name of each claim that the operator makes, with its spec."""
    found = {}
    for instance in inventory.of(*OPERATED):
        template = tree(dig(instance.spec, "storage", "volumeClaimTemplate"))
        made = f"{instance.kind.lower()}-{instance.name}"
        name = dig(template, "metadata", "name") or f"{made}-db"
        for number in range(instance.spec.get("replicas", 1)) if template else ():
            found[instance.namespace, f"{name}-{made}-{number}"] = tree(template.get("spec"))
    return found


def jobs(monitor: Obj, inventory: Inventory) -> set[str]:
    """The values of the label `job` that a monitor's targets get."""
    if monitor.kind == "PodMonitor":
        return {f"{monitor.namespace}/{monitor.name}"}
    label = str(monitor.spec.get("jobLabel") or "")
    return {s.labels.get(label, s.name) for s in services(monitor, inventory)}


def monitored(monitor: Obj, world: World) -> list[Workload]:
    """The workloads that a monitor scrapes."""
    if monitor.kind == "PodMonitor":
        return [
            w
            for w in world.workloads.values()
            if looks_in(monitor, w.namespace) and matches(monitor.spec.get("selector"), w.labels)
        ]
    return [w for s in services(monitor, world) for w in world.backends(s)]


def intervals(monitor: Obj, world: World) -> Iterator[float]:
    """The scrape interval of each endpoint of a monitor, in seconds."""
    own = (seconds(dig(p.spec, "scrapeInterval")) for p in world.of("Prometheus"))
    default = max((s for s in own if s), default=DEFAULT_INTERVAL_S)
    for endpoint in endpoints(monitor):
        yield seconds(endpoint.get("interval")) or default


def interval_of(series: Series, world: World) -> float:
    """The scrape interval behind a series, in seconds; the longest where several monitors may feed it."""
    monitors = world.of(*MONITORS)
    job = series.equal("job")
    feeding = [m for m in monitors if job in jobs(m, world)] if job else []
    if not feeding and series.metric.startswith("container_"):
        feeding = [m for m in monitors if KUBELET in services(m, world)]
    if not feeding and series.metric.startswith(":tensorflow"):
        feeding = [m for m in monitors if any(w.obj in world.servers for w in monitored(m, world))]
    found = [s for m in feeding or monitors for s in intervals(m, world)]
    return max(found, default=DEFAULT_INTERVAL_S)


def operated_pods(inventory: Inventory) -> list[tuple[Obj, Pod]]:
    """What the operator makes pods of, and such a pod with the operator's labels."""
    return [
        (
            instance,
            Pod(
                str(instance),
                instance.namespace,
                {
                    "app.kubernetes.io/name": instance.kind.lower(),
                    "app.kubernetes.io/instance": instance.name,
                    "app.kubernetes.io/managed-by": "prometheus-operator",
                    instance.kind.lower(): instance.name,
                    **({"operator.prometheus.io/name": instance.name} if instance.kind == "Prometheus" else {}),
                },
                OPERATED[instance.kind],
            ),
        )
        for instance in inventory.of(*OPERATED)
    ]


@lru_cache(maxsize=2)
def prometheus_pods(world: World) -> list[Pod]:
    """The pods that scrape: those that the operator makes, or a plain Prometheus."""
    made = [pod for instance, pod in operated_pods(world) if instance.kind == "Prometheus"]
    plain = [
        Pod(str(w.obj), w.namespace, w.labels, w.declared_ports)
        for w in world.workloads.values()
        if any(c.image.partition(":")[0].endswith("/prometheus") for c in w.containers)
    ]
    return made + plain
