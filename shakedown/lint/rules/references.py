import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from shakedown.lint.objects import Json, Obj, Tree, dig, tree, trees
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.workload import Container, Workload
from shakedown.lint.world import World

# made by Kubernetes in every cluster
BUILT_IN = {
    ("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt"), ("PriorityClass", "system-node-critical"),
    ("PriorityClass", "system-cluster-critical"), ("Role", "extension-apiserver-authentication-reader"),
    ("ClusterRole", "cluster-admin"), ("ClusterRole", "admin"), ("ClusterRole", "edit"), ("ClusterRole", "view"),
}  # fmt: skip
# the ClusterRoles that the API server makes for itself (label kubernetes.io/bootstrapping=rbac-defaults)
SYSTEM = re.compile(
    r"system:(aggregate-to-(admin|edit|view)|auth-delegator|basic-user|certificates\.k8s\.io:[\w:-]+"
    r"|controller:[a-z-]+(-controller|-binder|-collector|-autoscaler|-cleaner|-publisher|:[a-z-]+)"
    r"|discovery|heapster|kube-aggregator|kube-controller-manager|kube-dns|kube-scheduler|kubelet-api-admin|monitoring"
    r"|node|node-bootstrapper|node-problem-detector|node-proxier|persistent-volume-provisioner|public-info-viewer"
    r"|service-account-issuer-discovery|volume-scheduler)"
)
OPERATED = {"prometheus-operated": "Prometheus", "alertmanager-operated": "Alertmanager"}


def workloads(world: World) -> Iterable[Obj]:
    """All objects that make pods."""
    return world.workloads


def selecting_services(world: World) -> Iterable[Obj]:
    """The Services that choose pods by label, those that pods of an operator answer left out."""
    return (s for s in world.of("Service") if s.spec.get("selector") and not _for_operated(s, world))


def _for_operated(service: Obj, world: World) -> bool:
    name = str(dig(service.spec, "selector", "app.kubernetes.io/name"))
    return any(
        o.namespace == service.namespace for o in world.of(name.capitalize()) if name in {"prometheus", "alertmanager"}
    )


@rule("service-selects-pods", selecting_services, why="a Service without endpoints refuses every request")
def _service_selects_pods(obj: Obj, world: World) -> Problems:
    if not world.backends(obj):
        there = {w.obj.name: w.labels for w in world.workloads.values() if w.namespace == obj.namespace}
        yield Problem("spec.selector", f"{obj.spec['selector']} selects no pods", f"select one of {there}")


@rule(
    "service-ports-answer", selecting_services, why="a Service port that no container listens on refuses every request"
)
def _service_ports_answer(obj: Obj, world: World) -> Problems:
    for port in trees(obj.spec.get("ports")):
        target = port.get("targetPort", port.get("port"))
        for workload in world.backends(obj):
            if target not in workload.declared_ports:
                yield Problem(
                    f"spec.ports[{port.get('name', port.get('port'))}].targetPort",
                    f"{target} is no port of {workload.obj}",
                    f"use one of {list(workload.declared_ports)}",
                )


@rule(
    "services-keep-their-ports",
    selecting_services,
    why="a client of gRPC that reaches the REST port gets errors, not predictions",
)
def _services_keep_their_ports(obj: Obj, world: World) -> Problems:
    for workload in world.backends(obj):
        server = world.servers.get(workload.obj)
        for port in trees(obj.spec.get("ports")) if server else []:
            number = workload.port_behind(port)
            name = str(port.get("name", ""))
            if server and "grpc" in name and number == server.rest_port:
                yield Problem(
                    f"spec.ports[{name}].targetPort", f"leads to REST on {number}", f"lead to {server.grpc_port}"
                )
            if server and name in {"http", "rest"} and number == server.grpc_port:
                yield Problem(
                    f"spec.ports[{name}].targetPort", f"leads to gRPC on {number}", f"lead to {server.rest_port}"
                )


def _refs(workload: Workload) -> Iterator[tuple[str, str, Tree, list[str]]]:
    """Field, kind, reference and keys of every ConfigMap and Secret that a pod needs."""
    for name, volume in workload.volumes.items():
        field = f"{workload.prefix}.volumes[{name}]"
        if "configMap" in volume:
            yield field, "ConfigMap", tree(volume["configMap"]), _items(volume["configMap"])
        if "secret" in volume:
            secret = tree(volume["secret"])
            yield field, "Secret", {**secret, "name": secret.get("secretName")}, _items(secret)
        for source in trees(dig(volume, "projected", "sources")):
            for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                if key in source:
                    yield field, kind, tree(source[key]), _items(source[key])
    for container in workload.all_containers:
        yield from _env_refs(container)
    for pull in trees(workload.pod.get("imagePullSecrets")):
        yield f"{workload.prefix}.imagePullSecrets", "Secret", pull, []


def _items(source: Json) -> list[str]:
    return [str(item.get("key")) for item in trees(dig(source, "items"))]


def _env_refs(container: Container) -> Iterator[tuple[str, str, Tree, list[str]]]:
    for env in trees(container.data.get("env")):
        for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            ref = tree(dig(env, "valueFrom", key))
            if ref:
                yield f"{container.field}.env[{env.get('name')}]", kind, ref, [str(ref.get("key"))]
    for source in trees(container.data.get("envFrom")):
        for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if key in source:
                yield f"{container.field}.envFrom", kind, tree(source[key]), []


@rule(
    "probe-ports-exist",
    workloads,
    why="a probe of a port that has no such name always fails: never ready, or restarted for ever",
)
def _probe_ports_exist(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].containers:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            for handler in ("httpGet", "tcpSocket"):
                port = dig(container.data, probe, handler, "port")
                if isinstance(port, str) and container.port_number(port) is None:
                    names = [p.get("name") for p in container.ports]
                    yield Problem(f"{container.field}.{probe}", f"asks port {port!r}", f"use one of {names}")


@rule("mounted-config-exists", workloads, why="a pod whose ConfigMap, Secret or key is missing never starts")
def _mounted_config_exists(obj: Obj, world: World) -> Problems:
    for field, kind, ref, keys in _refs(world.workloads[obj]):
        name = ref.get("name")
        if ref.get("optional") or (kind, name) in BUILT_IN:
            continue
        found = world.find(kind, obj.namespace, name)
        if found is None:
            there = [o.name for o in world.of(kind) if o.namespace == obj.namespace]
            yield Problem(field, f"{kind} {obj.namespace}/{name} is not rendered", f"add it, or use one of {there}")
            continue
        if not any(tree(found.data.get(k)) for k in ("data", "binaryData", "stringData")):
            yield Problem(field, f"{found} holds nothing", "give it the files that are read")
        held = {*tree(found.data.get("data")), *tree(found.data.get("binaryData")), *tree(found.data.get("stringData"))}
        for key in keys:
            if key not in held:
                yield Problem(field, f"{found} has no key {key!r}", f"use one of {sorted(held)}")


@rule(
    "mounted-key-exists",
    workloads,
    why="a file mounted by a subPath that the ConfigMap lacks becomes an empty directory",
)
def _mounted_key_exists(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for container in workload.all_containers:
        for mount in (m for m in trees(container.data.get("volumeMounts")) if m.get("subPath")):
            source = tree(dig(workload.volumes, str(mount.get("name")), "configMap"))
            found = world.find("ConfigMap", obj.namespace, source.get("name"))
            files = {str(i.get("path")) for i in trees(source.get("items"))} or set(
                tree(dig(found and found.data, "data"))
            )
            if found and mount["subPath"] not in files:
                yield Problem(
                    f"{container.field}.volumeMounts[{mount.get('name')}].subPath",
                    f"{found} holds no {mount['subPath']!r}",
                    f"use one of {sorted(files)}",
                )


@rule("claims-exist", workloads, why="a pod whose claim is missing stays Pending")
def _claims_exist(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for name in workload.claims:
        if world.find("PersistentVolumeClaim", obj.namespace, name) is None:
            there = [o.name for o in world.of("PersistentVolumeClaim") if o.namespace == obj.namespace]
            yield Problem(
                f"{workload.prefix}.volumes",
                f"claim {obj.namespace}/{name} is not rendered",
                f"add it, or use one of {there}",
            )


@rule("service-account-exists", workloads, why="pods of a missing ServiceAccount are never created")
def _service_account_exists(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    name = workload.pod.get("serviceAccountName", "default")
    if name != "default" and world.find("ServiceAccount", obj.namespace, name) is None:
        there = [o.name for o in world.of("ServiceAccount") if o.namespace == obj.namespace]
        yield Problem(
            f"{workload.prefix}.serviceAccountName",
            f"ServiceAccount {obj.namespace}/{name} is not rendered",
            f"add it, or use one of {there}",
        )


@rule("priority-class-exists", workloads, why="pods of a missing PriorityClass are refused")
def _priority_class_exists(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    name = workload.pod.get("priorityClassName")
    if name and ("PriorityClass", name) not in BUILT_IN and world.find("PriorityClass", "", name) is None:
        yield Problem(
            f"{workload.prefix}.priorityClassName", f"PriorityClass {name} is not rendered", "add it or drop the field"
        )


@rule(
    "role-binding-resolves",
    kinds("RoleBinding", "ClusterRoleBinding"),
    why="a binding to nothing grants nothing, silently",
)
def _role_binding_resolves(obj: Obj, world: World) -> Problems:
    ref = tree(obj.data.get("roleRef"))
    kind, name = str(ref.get("kind")), str(ref.get("name"))
    built_in = SYSTEM.fullmatch(name) or (kind, name) in BUILT_IN
    if not built_in and world.find(kind, "" if kind == "ClusterRole" else obj.namespace, name) is None:
        there = [o.name for o in world.of(kind)]
        yield Problem("roleRef", f"{kind} {name} is not rendered", f"use one of {there}")
    if not trees(obj.data.get("subjects")):
        yield Problem("subjects", "is empty", "name who gets the role")
    for subject in trees(obj.data.get("subjects")):
        namespace = subject.get("namespace", obj.namespace)
        if (
            subject.get("kind") == "ServiceAccount"
            and world.find("ServiceAccount", namespace, subject.get("name")) is None
        ):
            yield Problem(
                "subjects",
                f"ServiceAccount {namespace}/{subject.get('name')} is not rendered",
                "add it or correct the name",
            )


@lru_cache(maxsize=2)
def _configs_read(world: World) -> frozenset[tuple[str, str]]:
    """Namespace and name of every ConfigMap that a pod refers to."""
    refs = ((w.namespace, kind, ref) for w in world.workloads.values() for _, kind, ref, _ in _refs(w))
    return frozenset((namespace, str(ref.get("name"))) for namespace, kind, ref in refs if kind == "ConfigMap")


def configs(world: World) -> Iterable[Obj]:
    """ConfigMaps that pods read; Grafana finds its dashboards by their label, wherever it runs."""
    return [obj for obj in world.of("ConfigMap") if "grafana_dashboard" not in obj.labels]


@rule("config-is-read", configs, why="configuration that nobody reads changes nothing, and looks as if it did")
def _config_is_read(obj: Obj, world: World) -> Problems:
    if world.workloads and (obj.namespace, obj.name) not in _configs_read(world):
        yield Problem(
            "metadata.name", "no pod mounts it or takes variables from it", "mount it where it is needed, or drop it"
        )


@rule(
    "api-service-answers",
    kinds("APIService"),
    why="an aggregated API without a Service breaks discovery for the whole cluster",
)
def _api_service_answers(obj: Obj, world: World) -> Problems:
    ref = tree(obj.spec.get("service"))
    service = world.find("Service", str(ref.get("namespace")), ref.get("name"))
    if obj.name != f"{obj.spec.get('version')}.{obj.spec.get('group')}":
        yield Problem(
            "metadata.name", "is not version.group", f"name it {obj.spec.get('version')}.{obj.spec.get('group')}"
        )
    trusted = obj.spec.get("insecureSkipTLSVerify") or obj.spec.get("caBundle")
    if not trusted and not any("inject-ca" in key for key in obj.annotations):
        yield Problem(
            "spec.caBundle", "is missing: its certificate is its own", "set it, or insecureSkipTLSVerify: true"
        )
    if service is None:
        yield Problem(
            "spec.service", f"Service {ref.get('namespace')}/{ref.get('name')} is not rendered", "name one that is"
        )
    elif ref.get("port", 443) not in [p.get("port") for p in trees(service.spec.get("ports"))]:
        yield Problem(
            "spec.service.port", f"{ref.get('port', 443)} is no port of {service}", "use a port of the Service"
        )


@rule(
    "service-has-pods-or-endpoints",
    kinds("Service"),
    why="a Service without selector has no endpoints unless somebody writes them",
)
def _service_has_pods_or_endpoints(obj: Obj, world: World) -> Problems:
    written = world.find("Endpoints", obj.namespace, obj.name) or any(
        s.labels.get("kubernetes.io/service-name") == obj.name for s in world.of("EndpointSlice")
    )
    if not obj.spec.get("selector") and obj.spec.get("type") != "ExternalName" and not written:
        yield Problem("spec.selector", "is empty, and no endpoints are rendered", "select the pods")
