import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import yaml

from shakedown.lint.adapter import adapter_objects
from shakedown.lint.doors import ROUTES, doors
from shakedown.lint.objects import Obj, Tree, dig, tree, trees
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.rules.network import API, network_of, pod_of
from shakedown.lint.scrape import KUBELET, OPERATED, services
from shakedown.lint.workload import REPLICATED, Container, Workload
from shakedown.lint.world import World

READ = frozenset({"list", "watch"})
UPDATE = frozenset({"update"})
WRITE = frozenset({"create", "update", "delete"})
OPERATOR = "monitoring.coreos.com"
GATEWAY = "gateway.networking.k8s.io"
INGRESSES, GATEWAYS = "--providers.kubernetesingress", "--providers.kubernetesgateway"  # what Traefik is told to read
# what each program asks of the API server, by a part of its image's name
Right: TypeAlias = tuple[str, str, frozenset[str]]
RIGHTS: dict[str, tuple[Right, ...]] = {
    "traefik": (
        ("", "services", READ),
        ("", "namespaces", READ),
        ("discovery.k8s.io", "endpointslices", READ),
        (GATEWAY, "gatewayclasses", READ),
        (GATEWAY, "gateways", READ),
        (GATEWAY, "httproutes", READ),
        (GATEWAY, "gatewayclasses/status", UPDATE),
        (GATEWAY, "gateways/status", UPDATE),
        (GATEWAY, "httproutes/status", UPDATE),
    ),
    "ingress-nginx/controller": (
        ("", "services", READ),
        ("", "secrets", READ),
        ("", "configmaps", READ),
        ("discovery.k8s.io", "endpointslices", READ),
        ("networking.k8s.io", "ingresses", READ),
        ("networking.k8s.io", "ingressclasses", READ),
        ("networking.k8s.io", "ingresses/status", UPDATE),
    ),
    "prometheus-adapter": (("", "pods", READ), ("", "namespaces", READ)),
    "metrics-server": (("", "pods", READ), ("", "nodes", READ), ("", "nodes/metrics", frozenset({"get"}))),
    "prometheus-operator": (
        *((OPERATOR, f"{kind}s", READ) for kind in ("servicemonitor", "podmonitor", "probe", "prometheusrule")),
        *((OPERATOR, kind, READ) for kind in ("prometheuses", "alertmanagers", "alertmanagerconfigs")),
        *((OPERATOR, f"{kind}/status", UPDATE) for kind in ("prometheuses", "alertmanagers")),
        ("apps", "statefulsets", READ | WRITE),
        ("", "secrets", READ | WRITE),
        ("", "configmaps", READ | WRITE),
        ("", "services", frozenset({"get"}) | WRITE),
        ("", "namespaces", READ),
        ("", "nodes", READ),
        ("", "pods", frozenset({"list", "delete"})),
    ),
}
# where the operator keeps the kubelets' addresses, in the namespace that --kubelet-service names
KUBELET_RIGHTS = {
    "": ("", "services", frozenset({"get", "create", "update"})),
    "kubelet-endpointslice": ("discovery.k8s.io", "endpointslices", frozenset({"get", "list"}) | WRITE),
    "kubelet-endpoints": ("", "endpoints", frozenset({"get", "create", "update"})),
}
# what has no namespace: a Role can't grant it
CLUSTER_WIDE = {"namespaces", "nodes", "nodes/metrics", "gatewayclasses", "gatewayclasses/status", "ingressclasses"}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # where Kubernetes mounts it
PROVIDERS = {
    "file",
    "kubernetescrd",
    "kubernetesingress",
    "kubernetesgateway",
    "internal",
}  # where middlewares come from
COUNTER = "kube-state-metrics"
# the API group of each kind that kube-state-metrics can be told to count
COUNTED = {"pods": "", "deployments": "apps", "statefulsets": "apps", "jobs": "batch"}
COUNTED |= {"horizontalpodautoscalers": "autoscaling", "persistentvolumeclaims": "", "nodes": "", "replicasets": "apps"}


def controllers(world: World) -> Iterable[Obj]:
    """Workloads that ask the API server: gateways, ingress controllers, metrics adapters, operators."""
    known = (w.obj for w in world.workloads.values() if any(_is_known(c.image) for c in w.containers))
    return dict.fromkeys([*(d.obj for d in doors(world)), *adapter_objects(world), *known])


def _is_known(image: str) -> bool:
    return any(_runs(image, name) for name in (*RIGHTS, COUNTER))


def _runs(image: str, name: str) -> bool:
    """Whether an image is a program's: its last part says so, or the last two where the program's name has two."""
    parts = image.split("/")
    return name in "/".join(parts[-1 - name.count("/") :])


def door_objects(world: World) -> Iterable[Obj]:
    """The gateways and ingress controllers."""
    return [d.obj for d in doors(world)]


@rule(
    "controllers-have-their-rights",
    controllers,
    why="a controller without its rights sees nothing, and only its log says so",
)
def _controllers_have_their_rights(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    account = str(workload.pod.get("serviceAccountName", "default"))
    for (group, resource, verbs), place in _needed(workload, world):
        granted = _granted(obj.namespace, account, world, within=place)
        held = {v for rule_ in granted if _covers(rule_, group, resource) for v in rule_.get("verbs") or []}
        if not (verbs <= held or "*" in held):
            what = f"{resource}.{group}" if group else resource
            yield Problem(
                f"{workload.prefix}.serviceAccountName",
                f"{account} may not {', '.join(sorted(verbs - held))} {what}{f' in {place}' if place else ''}",
                "grant it in its role",
            )
    own = world.find("ServiceAccount", obj.namespace, account)
    mounted = workload.pod.get(
        "automountServiceAccountToken", own.data.get("automountServiceAccountToken", True) if own else True
    )
    projected = any("projected" in v for v in workload.volumes.values())
    if not mounted and not projected:
        yield Problem(
            f"{workload.prefix}.automountServiceAccountToken", "is false: it can't ask the API server", "set true here"
        )


def _needed(workload: Workload, world: World) -> Iterator[tuple[Right, str | None]]:
    """Each right, and the namespace that it must hold in: none for what has none, None where any will do."""
    for name, rights in RIGHTS.items():
        for container in (c for c in workload.containers if _runs(c.image, name)):
            words = " ".join(container.command_line).lower()
            unread = GATEWAY if INGRESSES in words and GATEWAYS not in words else ""
            for right in (each for each in rights if not unread or each[0] != unread):
                yield from ((right, place) for place in _places(right, workload, world))
    for container in (c for c in workload.containers if _runs(c.image, "prometheus-operator")):
        options = dict(_options(container.command_line))
        place, named, _ = options.get("kubelet-service", "").partition("/")
        on = {"": "true", "kubelet-endpoints": "true", "kubelet-endpointslice": "false", **options}
        yield from ((right, place) for option, right in KUBELET_RIGHTS.items() if named and on[option] == "true")


def _places(right: Right, workload: Workload, world: World) -> Iterable[str | None]:
    """The namespaces that a right must hold in: of a door, those of the routes that are to lead anywhere."""
    if right[1] in CLUSTER_WIDE:
        return ("",)
    if workload.obj in door_objects(world):
        return {r.namespace for r in world.of("Ingress", *ROUTES)} or (None,)
    return (None,)


@rule(
    "counter-sees-its-namespaces",
    lambda world: (o for o, w in world.workloads.items() if any(COUNTER in c.image for c in w.containers)),
    why="alerts on what kube-state-metrics may not see never fire",
)
def _counter_sees_its_namespaces(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    account = str(workload.pod.get("serviceAccountName", "default"))
    for container in workload.containers:
        options = dict(_options(container.command_line))
        for namespace in options.get("namespaces", "").split(","):
            granted = list(_granted(obj.namespace, account, world, within=namespace))
            for resource in options.get("resources", "").split(","):
                held = {v for r in granted if _covers(r, COUNTED.get(resource, ""), resource) for v in r["verbs"]}
                if not held >= READ:
                    yield Problem(
                        f"{workload.prefix}.serviceAccountName",
                        f"{account} may not list {resource or 'anything'} in {namespace or 'any namespace'}",
                        "bind a role there that may",
                    )


def _covers(rule_: Tree, group: str, resource: str) -> bool:
    groups, resources = rule_.get("apiGroups") or [], rule_.get("resources") or []
    return bool({group, "*"} & set(groups)) and bool({resource, "*"} & set(resources))


def _granted(namespace: str, account: str, world: World, within: str | None = None) -> Iterator[Tree]:
    """What an account may, anywhere or in one namespace."""
    for binding in world.of("ClusterRoleBinding", "RoleBinding"):
        if within is not None and binding.namespace not in {"", within}:
            continue
        subjects = ((s.get("namespace", binding.namespace), s.get("name")) for s in trees(binding.data.get("subjects")))
        if (namespace, account) in subjects:
            kind = str(dig(binding.data, "roleRef", "kind"))
            role = world.find(
                kind, "" if kind == "ClusterRole" else binding.namespace, dig(binding.data, "roleRef", "name")
            )
            yield from trees(role.data.get("rules")) if role else []


@rule(
    "controllers-reach-the-api",
    controllers,
    why="a controller that a policy cuts off from the API server serves yesterday's routes",
)
def _controllers_reach_the_api(obj: Obj, world: World) -> Problems:
    own = pod_of(world.workloads[obj])
    for port in (443, 6443):  # of the Service, and of the server behind it, as policies see one or the other
        verdict = network_of(world).reach(own, API, port)
        if not verdict.allowed:
            yield Problem(
                "metadata.name",
                f"can't reach the API server on {port}: {', '.join(map(str, verdict.blocked_by))}",
                "allow egress to it",
            )


# the options by which each program is told where to listen, and where it does without
NGINX_PORTS = {"http-port": 80, "https-port": 443, "healthz-port": 10254, "metrics-port": 10254, "webhook-port": 8443}
OPTIONS = {
    "ingress-nginx/controller": NGINX_PORTS,
    "prometheus-adapter": {"secure-port": 6443},
    "metrics-server": {"secure-port": 10250},
    COUNTER: {"port": 8080, "telemetry-port": 8081},
}
# where each program says how it is; another path is a 404, and its pods never become ready
HEALTH = {
    "traefik": {"/ping"},
    "ingress-nginx/controller": {"/healthz"},
    "prometheus-adapter": {"/readyz", "/livez", "/healthz"},
    "metrics-server": {"/readyz", "/livez", "/healthz"},
    "prometheus-operator": {"/healthz"},
    COUNTER: {"/readyz", "/livez", "/healthz"},
}


@rule(
    "controllers-are-watched",
    controllers,
    why="a controller that hangs serves yesterday's routes, and one that is not ready yet serves none",
)
def _controllers_are_watched(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].containers:
        for probe in ("readinessProbe", "livenessProbe"):
            if not container.data.get(probe):
                yield Problem(f"{container.field}.{probe}", "is missing", "ask where it says that it is well")
        yield from _health_problems(container)
        usual = _usual_ports(container.image)
        options = dict(_options(container.command_line))
        listening = {options.get(option, str(number)) for option, number in usual.items()}
        for port in container.ports if usual else ():
            if str(port.get("containerPort")) not in listening:
                yield Problem(
                    f"{container.field}.ports[{port.get('name')}]",
                    f"{port.get('containerPort')} is declared, and it listens on {sorted(listening)}",
                    "declare where it listens",
                )


def _health_problems(container: Container) -> Problems:
    paths = next((paths for name, paths in HEALTH.items() if _runs(container.image, name)), None)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = dig(container.data, probe, "httpGet")
        if asked and "secure-port" in _usual_ports(container.image) and asked.get("scheme") != "HTTPS":
            yield Problem(f"{container.field}.{probe}", "asks a TLS port in clear text", "set scheme: HTTPS")
        if asked and paths and asked.get("path", "/") not in paths and not _is_routed(asked):
            yield Problem(
                f"{container.field}.{probe}", f"asks {asked.get('path', '/')}", f"ask {' or '.join(sorted(paths))}"
            )


def _is_routed(asked: Tree) -> bool:
    """Whether a probe asks by the name of a host, which a gateway routes to something behind it."""
    return any(str(each.get("name")).lower() == "host" for each in trees(asked.get("httpHeaders")))


def _usual_ports(image: str) -> dict[str, int]:
    return next((ports for name, ports in OPTIONS.items() if _runs(image, name)), {})


def running(world: World) -> Iterable[Obj]:
    """Everything that says how many replicas it wants."""
    return world.of(*REPLICATED, "Prometheus", "Alertmanager")


@rule("replicas-run", running, why="nought replicas serve nobody, and two hundred are a slip")
def _replicas_run(obj: Obj, world: World) -> Problems:
    count = obj.spec.get("replicas", 1)
    if count < 1:
        yield Problem("spec.replicas", "is 0", "run 1 or more")
    if (
        obj in {d.obj for d in doors(world)}
        and "replicas" in obj.spec
        and count < 2
        and not world.of("PersistentVolume")
    ):
        yield Problem("spec.replicas", f"the front door has {count}", "run 2 or more")


@rule(
    "gateway-options-agree",
    door_objects,
    why="a gateway without its provider, its ping or its middleware answers 404, or never becomes ready",
)
def _gateway_options_agree(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for container in (c for c in workload.containers if any("--entrypoints." in w for w in c.command_line)):
        options = dict(_options(container.command_line))
        field = f"{container.field}.args"
        routes = world.of("HTTPRoute", "GRPCRoute")
        if routes and options.get("providers.kubernetesgateway") != "true":
            yield Problem(field, "routes are rendered, and --providers.kubernetesgateway is not true", "set it")
        seen = options.get("providers.kubernetesgateway.namespaces")
        for namespace in sorted({r.namespace for r in routes}) if seen is not None else []:
            if namespace not in str(seen).split(","):
                yield Problem(field, f"watches {seen}, and there are routes in {namespace}", "name the namespace")
        for probe in ("readinessProbe", "livenessProbe"):
            if dig(container.data, probe, "httpGet", "path") == "/ping" and options.get("ping") != "true":
                yield Problem(field, f"{probe} asks /ping, and --ping is not true", "set --ping=true")
        pinged = dig(container.data, "readinessProbe", "httpGet", "path") == "/ping"
        if routes and pinged and not container.data.get("startupProbe"):
            says = "is missing: /ping says 200 before the routes are read, and clients get 404 until then"
            yield Problem(f"{container.field}.startupProbe", says, "let it ask through a route")
        yield from _option_references(field, options, workload, world)
        hosts = {host for route in world.of(*ROUTES) for host in route.spec.get("hostnames") or []}
        for header in trees(dig(container.data, "startupProbe", "httpGet", "httpHeaders")):
            if str(header.get("name")).lower() == "host" and hosts and header.get("value") not in hosts:
                says = f"asks for host {header.get('value')!r}, which no route names"
                yield Problem(f"{container.field}.startupProbe", says, f"ask for one of {sorted(hosts)}")


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.lstrip("-").partition("=")
        yield name.lower(), value


def _option_references(field: str, options: dict[str, str], workload: Workload, world: World) -> Problems:
    points = {m[1] for name in options if (m := re.fullmatch(r"entrypoints\.(\w+)\.address", name))}
    for name in ("ping.entrypoint", "metrics.prometheus.entrypoint"):
        if name in options and options[name] not in points:
            yield Problem(field, f"--{name}={options[name]} is no entry point", f"use one of {sorted(points)}")
    for name, value in options.items():
        point = re.fullmatch(r"entrypoints\.(\w+)\..*", name)
        if point and point[1] not in points:
            yield Problem(field, f"--{name} is about an entry point without address", f"use one of {sorted(points)}")
        address = re.fullmatch(r":(\d+)(/tcp)?", value)
        if name.endswith(".address") and (address is None or int(address[1]) not in workload.declared_ports):
            yield Problem(
                field,
                f"--{name}={value} is no declared port",
                f"declare it; declared are {list(workload.declared_ports)}",
            )
        if (
            value
            and name.split(".")[-1]
            in {"prometheus", "ping", "kubernetesgateway", "addrouterslabels", "addserviceslabels", "watch"}
            and value not in {"true", "false"}
        ):
            yield Problem(field, f"--{name}={value} is neither true nor false", "write true or false")
        if name.endswith(".http.middlewares"):
            yield from _middleware(field, value, options, workload, world)
    service = options.get("providers.kubernetesgateway.statusaddress.service.name")
    namespace = options.get("providers.kubernetesgateway.statusaddress.service.namespace", workload.namespace)
    if service and world.find("Service", namespace, service) is None:
        yield Problem(
            field, f"the status address names Service {namespace}/{service}, which is not rendered", "name its Service"
        )


def _middleware(field: str, value: str, options: dict[str, str], workload: Workload, world: World) -> Problems:
    path = options.get("providers.file.filename", "")
    texts = [world.file_in(workload, container, path) for container in workload.containers]
    try:
        given = tree(yaml.safe_load(next((t for t in texts if t), "")))
    except yaml.YAMLError as error:
        yield Problem(field, f"{path} is no YAML: {error}", "correct it")
        return
    defined = tree(dig(given, "http", "middlewares"))
    for name, _, provider in (each.partition("@") for each in value.split(",")):
        if provider not in PROVIDERS:
            yield Problem(field, f"middleware {name}@{provider}: {provider!r} is no provider", "take @file's")
        elif provider != "file":
            continue
        elif name not in defined:
            yield Problem(
                field,
                f"middleware {name} is not defined in {path or 'a file: no --providers.file.filename'}",
                "define it there",
            )
        elif not all(tree(tree(each)) for each in tree(defined[name]).values()) or not tree(defined[name]):
            yield Problem(field, f"middleware {name} says nothing", "give it its settings")


def operators(world: World) -> Iterable[Obj]:
    """The Prometheus operators, where anything is rendered for one to make."""
    found = (o for o, w in world.workloads.items() if any(_runs(c.image, "prometheus-operator") for c in w.containers))
    return found if world.of(*OPERATED) else ()


@rule("operator-sees-its-instances", operators, why="an instance that the operator does not look at is never made")
def _operator_sees_its_instances(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].containers:
        options = dict(_options(container.command_line))
        for instance in world.of(*OPERATED):
            option = f"{instance.kind.lower()}-instance-namespaces"
            seen = options.get(option) or options.get("namespaces")
            if seen and instance.namespace not in seen.split(","):
                yield Problem(
                    f"{container.field}.args", f"--{option}={seen} leaves out {instance}", "name its namespace"
                )


@rule(
    "foreign-series-keep-their-labels",
    kinds("ServiceMonitor"),
    why="without honorLabels the namespace and pod of a series become those of its exporter",
)
def _foreign_series_keep_their_labels(obj: Obj, world: World) -> Problems:
    chosen = services(obj, world)
    doors_ = {d.obj for d in doors(world)}
    foreign = KUBELET in chosen or any(
        w.obj in doors_ or any(_runs(c.image, COUNTER) for c in w.containers)
        for s in chosen
        if s is not KUBELET
        for w in world.backends(s)
    )
    for endpoint in trees(obj.spec.get("endpoints")):
        field = f"spec.endpoints[{endpoint.get('port')}]"
        if foreign and endpoint.get("honorLabels") is not True:
            yield Problem(f"{field}.honorLabels", "is not true", "set honorLabels: true")
        if str(endpoint.get("port")).startswith("https") and endpoint.get("scheme") != "https":
            yield Problem(f"{field}.scheme", "asks a TLS port in clear text", "set scheme: https")
        if KUBELET in chosen and not (endpoint.get("bearerTokenFile") or endpoint.get("authorization")):
            yield Problem(
                f"{field}.bearerTokenFile", "the kubelet answers nobody without a token", "name the account's token"
            )
        if KUBELET in chosen and endpoint.get("bearerTokenFile", TOKEN) != TOKEN:
            yield Problem(f"{field}.bearerTokenFile", "is no file of Prometheus' pod", f"use {TOKEN}")
        if KUBELET in chosen and not (
            dig(endpoint, "tlsConfig", "insecureSkipVerify") or dig(endpoint, "tlsConfig", "caFile")
        ):
            yield Problem(
                f"{field}.tlsConfig", "the kubelet's certificate is its own", "set insecureSkipVerify, or a caFile"
            )


def kubelet_readers(world: World) -> Iterable[Obj]:
    """Prometheus objects, where the kubelet is scraped."""
    return world.of("Prometheus") if any(KUBELET in services(m, world) for m in world.of("ServiceMonitor")) else ()


@rule(
    "prometheus-may-read-the-kubelet",
    kubelet_readers,
    why="without nodes/metrics the kubelet answers 403: no CPU, no memory",
)
def _prometheus_may_read_the_kubelet(obj: Obj, world: World) -> Problems:
    account = str(obj.spec.get("serviceAccountName", "default"))
    rules = _granted(obj.namespace, account, world)
    if not any(_covers(r, "", "nodes/metrics") and {"get", "*"} & set(r.get("verbs") or []) for r in rules):
        yield Problem("spec.serviceAccountName", f"{account} may not get nodes/metrics", "grant it")
