from collections.abc import Iterable

from shakedown.lint.objects import Json, Obj, Tree, dig, matches, tree, trees
from shakedown.lint.quantity import seconds
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.scrape import KUBELET, MONITORS, endpoints, monitored, services
from shakedown.lint.server import METRICS_PATH, Server
from shakedown.lint.world import World

# of the Prometheus object: which selector picks which kind
PICKED = {"ServiceMonitor": "serviceMonitor", "PodMonitor": "podMonitor", "PrometheusRule": "rule"}
DISCOVERY = {"services", "pods"}


def servers(world: World) -> Iterable[Obj]:
    """Workloads that run the model server, where anything is monitored at all."""
    return world.servers if world.of("Prometheus", *MONITORS) else ()


def picked(world: World) -> Iterable[Obj]:
    """Monitors and rules, where a Prometheus object is rendered that should pick them."""
    return world.of(*PICKED) if world.of("Prometheus") else ()


@rule(
    "monitor-finds-targets",
    kinds(*MONITORS),
    why="a monitor that selects nothing scrapes nothing, without an error anywhere",
)
def _monitor_finds_targets(obj: Obj, world: World) -> Problems:
    if obj.kind == "PodMonitor":
        if not monitored(obj, world):
            yield Problem("spec.selector", "selects no pods", "select the pods' labels, and their namespace")
        return
    if not services(obj, world):
        there = {str(s): s.labels for s in world.of("Service")}
        elsewhere = [str(s) for s in world.of("Service") if matches(obj.spec.get("selector"), s.labels)]
        if elsewhere:
            yield Problem(
                "spec.namespaceSelector", f"does not look where {elsewhere} are", "name their namespace in matchNames"
            )
        else:
            yield Problem(
                "spec.selector",
                f"selects no Service; their own labels are {there}",
                "label the Service, or select its labels",
            )


@rule(
    "monitor-finds-ports",
    kinds(*MONITORS),
    why="an endpoint whose port no Service names has no targets, without an error anywhere",
)
def _monitor_finds_ports(obj: Obj, world: World) -> Problems:
    if not endpoints(obj):
        yield Problem("spec.endpoints", "is empty", "name the port to scrape")
    for endpoint in endpoints(obj):
        port = endpoint.get("port")
        if port is None:
            yield Problem("spec.endpoints", "names no port", "name the Service's port")
        for service in services(obj, world) if obj.kind == "ServiceMonitor" and port else []:
            names = [p.get("name") for p in trees(service.spec.get("ports"))]
            if port not in names:
                yield Problem(
                    f"spec.endpoints[{port}].port", f"{service} has no port named {port!r}", f"use one of {names}"
                )
        for workload in monitored(obj, world) if obj.kind == "PodMonitor" and port else []:
            if port not in workload.declared_ports:
                yield Problem(
                    f"spec.podMetricsEndpoints[{port}].port",
                    f"{workload.obj} has no port {port!r}",
                    "use its port's name",
                )


@rule(
    "monitor-timings-agree",
    kinds(*MONITORS),
    why="Prometheus refuses a time-out longer than the interval, and keeps its old configuration",
)
def _monitor_timings_agree(obj: Obj, world: World) -> Problems:
    defaults = [seconds(dig(p.spec, "scrapeInterval")) for p in world.of("Prometheus")]
    for endpoint in endpoints(obj):
        field = f"spec.endpoints[{endpoint.get('port')}]"
        interval = seconds(endpoint["interval"]) if "interval" in endpoint else next((d for d in defaults if d), 30.0)
        timeout = seconds(endpoint["scrapeTimeout"]) if "scrapeTimeout" in endpoint else 0
        if interval is None or timeout is None or not 1 <= interval <= 300:
            yield Problem(f"{field}.interval", f"is {endpoint.get('interval')}", "use 5s to 60s")
        elif timeout > interval:
            yield Problem(
                f"{field}.scrapeTimeout", f"{timeout:.0f} s is longer than the interval, {interval:.0f} s", "shorten it"
            )


@rule(
    "monitor-asks-the-server",
    kinds(*MONITORS),
    why="TensorFlow Serving answers on its REST port at its own path; /metrics is a 404",
)
def _monitor_asks_the_server(obj: Obj, world: World) -> Problems:
    for workload in monitored(obj, world):
        server = world.servers.get(workload.obj)
        for endpoint in endpoints(obj) if server else []:
            if server:
                yield from _endpoint_problems(obj, endpoint, server, world)


def _endpoint_problems(obj: Obj, endpoint: Tree, server: Server, world: World) -> Problems:
    field = f"spec.endpoints[{endpoint.get('port')}]"
    path, served = endpoint.get("path", "/metrics"), world.metrics_path(server)
    if path != (served or METRICS_PATH):
        yield Problem(
            f"{field}.path", f"asks {path}; {server.workload.obj} answers at {served or METRICS_PATH}", "correct it"
        )
    if endpoint.get("scheme", "http") not in {"http", "HTTP"}:
        yield Problem(f"{field}.scheme", "the server's REST port is clear text", "use http")
    for service in services(obj, world):
        for port in (p for p in trees(service.spec.get("ports")) if p.get("name") == endpoint.get("port")):
            number = server.workload.port_behind(port)
            if number != server.rest_port:
                yield Problem(
                    f"{field}.port",
                    f"leads to {number}; metrics are on REST, {server.rest_port}",
                    "scrape the REST port",
                )


@rule("server-is-monitored", servers, why="an incident of a server without metrics is seen by its users first")
def _server_is_monitored(obj: Obj, world: World) -> Problems:
    if not any(w.obj is obj for m in world.of(*MONITORS) for w in monitored(m, world)):
        yield Problem("metadata.name", "no ServiceMonitor or PodMonitor scrapes it", "select its Service in one")


@rule("prometheus-picks-it", picked, why="what Prometheus does not select is neither scraped nor evaluated")
def _prometheus_picks_it(obj: Obj, world: World) -> Problems:
    prefix = PICKED[obj.kind]
    if not any(_picks(p, prefix, obj, world) for p in world.of("Prometheus")):
        wanted = {str(p): p.spec.get(f"{prefix}Selector") for p in world.of("Prometheus")}
        yield Problem(
            "metadata.labels",
            f"no Prometheus selects it; their {prefix}Selector: {wanted}",
            "carry those labels, in a namespace they look at",
        )


def _picks(prometheus: Obj, prefix: str, obj: Obj, world: World) -> bool:
    def selected(selector: Json, labels: dict[str, str]) -> bool:
        return selector is not None and matches(selector, labels)

    where = prometheus.spec.get(f"{prefix}NamespaceSelector")
    there = selected(where, world.namespaces[obj.namespace]) or obj.namespace == prometheus.namespace
    return there and selected(prometheus.spec.get(f"{prefix}Selector"), obj.labels)


@rule(
    "prometheus-may-discover",
    kinds("Prometheus"),
    why="without these rights Prometheus finds no target, and only its log says so",
)
def _prometheus_may_discover(obj: Obj, world: World) -> Problems:
    account = str(obj.spec.get("serviceAccountName", "default"))
    if world.find("ServiceAccount", obj.namespace, account) is None:
        yield Problem("spec.serviceAccountName", f"ServiceAccount {obj.namespace}/{account} is not rendered", "add it")
        return
    wanted = DISCOVERY | {"endpointslices" if obj.spec.get("serviceDiscoveryRole") == "EndpointSlice" else "endpoints"}
    granted = {r for rules in _granted(obj.namespace, account, world) for r in rules}
    if wanted - granted:
        yield Problem(
            "spec.serviceAccountName",
            f"{account} may not list {sorted(wanted - granted)}",
            "bind a ClusterRole that may",
        )


def _granted(namespace: str, account: str, world: World) -> Iterable[set[str]]:
    for binding in world.of("ClusterRoleBinding"):
        subjects = ((s.get("namespace"), s.get("name")) for s in trees(binding.data.get("subjects")))
        role = world.find("ClusterRole", "", dig(binding.data, "roleRef", "name"))
        for each in trees(role.data.get("rules")) if role and (namespace, account) in subjects else []:
            if {"get", "list", "watch"} <= set(each.get("verbs") or []):
                yield set(each.get("resources") or [])


@rule("prometheus-alerts-someone", kinds("Prometheus"), why="an alert that fires into the void wakes nobody")
def _prometheus_alerts_someone(obj: Obj, world: World) -> Problems:
    targets = trees(dig(obj.spec, "alerting", "alertmanagers"))
    if not targets:
        yield Problem("spec.alerting", "names no Alertmanager", "name alertmanager-operated")
    for target in targets:
        namespace, name = str(target.get("namespace", obj.namespace)), target.get("name")
        operated = name == "alertmanager-operated" and any(a.namespace == namespace for a in world.of("Alertmanager"))
        service = world.find("Service", namespace, name)
        if not operated and service is None:
            yield Problem(
                "spec.alerting", f"no Service {namespace}/{name} is rendered", "name the Alertmanager's Service"
            )
        ports = {"web"} if operated else {p.get("name") for p in trees(service.spec.get("ports") if service else [])}
        if target.get("port") not in {*ports, 9093}:
            yield Problem(
                "spec.alerting", f"port {target.get('port')!r} is none of {sorted(map(str, ports))}", "name its port"
            )


@rule(
    "cadvisor-is-scraped",
    kinds("PrometheusRule"),
    why="rules on CPU and memory of containers see nothing where the kubelet is not scraped",
)
def _cadvisor_is_scraped(obj: Obj, world: World) -> Problems:
    uses = "container_cpu_" in str(obj.spec) or "container_memory_" in str(obj.spec)
    kubelet = [e for m in world.of("ServiceMonitor") if KUBELET in services(m, world) for e in endpoints(m)]
    if uses and world.of("Prometheus") and not any(e.get("path") == "/metrics/cadvisor" for e in kubelet):
        yield Problem(
            "spec.groups",
            "uses series of cAdvisor, and no ServiceMonitor scrapes /metrics/cadvisor",
            "scrape the kubelet there",
        )


@rule(
    "configuration-selects-pods",
    kinds("ConfigMap"),
    why="a plain Prometheus configuration that keeps no pod of yours scrapes nothing",
)
def _configuration_selects_pods(obj: Obj, world: World) -> Problems:
    for key, text in tree(obj.data.get("data")).items():
        if "scrape_configs" in str(text) and "metrics_path" not in str(text) and world.servers:
            yield Problem(
                f"data[{key}]",
                "asks the model server for /metrics, which is a 404",
                f"set metrics_path: {METRICS_PATH}",
            )
