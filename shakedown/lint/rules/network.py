from collections.abc import Iterable, Iterator
from functools import lru_cache

from shakedown.lint.doors import ROUTES, backends, doors
from shakedown.lint.objects import Obj, Tree, dig, matches, tree, trees
from shakedown.lint.reach import Network, Pod
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.scrape import MONITORS, endpoints, monitored, operated_pods, prometheus_pods, services
from shakedown.lint.workload import Workload
from shakedown.lint.world import World

WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
DNS = Pod("the cluster's DNS", "kube-system", {"k8s-app": "kube-dns"}, {"dns": 53, "dns-tcp": 53})
# of the API server and of the kubelets, which run where no selector finds them
HOST_PORTS = {443, 6443, 10250}
API = Pod("the API server", address="192.0.2.1")  # RFC 5737: documentation
OUTSIDE = Pod("an address on the internet", address="203.0.113.7")  # the same
ELSEWHERE = Pod("a pod of another namespace", "shakedown-stranger", {"app": "stranger"}, {"http": 80})


@lru_cache(maxsize=2)
def network_of(world: World) -> Network:
    """The policies of a world."""
    return Network(world)


@lru_cache(maxsize=2)
def every_pod(world: World) -> tuple[Pod, ...]:
    """One pod of each workload, those that the operator makes, and DNS."""
    return (*(pod_of(w) for w in world.workloads.values()), *(pod for _, pod in operated_pods(world)), DNS)


def servers(world: World) -> Iterable[Obj]:
    """Workloads that run the model server."""
    return world.servers


def pod_of(workload: Workload) -> Pod:
    """A workload's pod, as policies see it."""
    return Pod(str(workload.obj), workload.namespace, workload.labels, workload.declared_ports)


def strangers(world: World) -> Iterator[Pod]:
    """Pods that no policy should let in: one in each namespace, one elsewhere, and the internet.

    The namespaces of the door and of Prometheus may be admitted as a whole, where neither shares a server's.
    """
    admitted = {w.namespace for w in doors(world)} | {p.namespace for p in prometheus_pods(world)}
    for namespace in world.namespaces.keys() - (admitted - {s.namespace for s in world.servers}):
        yield Pod(f"a stranger in {namespace}", namespace, {"app": "stranger"})
    yield ELSEWHERE
    yield OUTSIDE


@rule("door-reaches-server", servers, why="clients enter through the gateway: a policy that forgets it is an outage")
def _door_reaches_server(obj: Obj, world: World) -> Problems:
    found = doors(world)
    if not found:
        yield Problem(
            "metadata.name",
            "no gateway or ingress controller is rendered that could lead to it",
            "render the front door with it",
        )
    blocked = [_blocked(door, obj, world) for door in found]
    if found and all(blocked):
        says = "; ".join(each for each in blocked[:3])
        yield Problem("metadata.name", says, "admit the door's namespace and pods")


def _blocked(door: Workload, obj: Obj, world: World) -> str:
    """Which ports a door can't reach and by which policies; empty where it reaches them all."""
    ports = sorted(_routed_ports(world, obj) or {world.servers[obj].rest_port})
    verdicts = {p: network_of(world).reach(pod_of(door), pod_of(world.workloads[obj]), p) for p in ports}
    shut = [port for port, verdict in verdicts.items() if not verdict.allowed]
    if shut:
        policies = ", ".join(map(str, verdicts[shut[0]].blocked_by))
        return f"{door.obj} can't reach ports {shut}: {policies}"
    return ""


def _routed_ports(world: World, obj: Obj) -> set[int]:
    """The container ports of a server to which an Ingress or a route leads."""
    asked = {(n, name, port) for o in world.of("Ingress", *ROUTES) for n, name, port, _ in backends(o)}
    found = {
        world.workloads[obj].port_behind(port)
        for service in world.services_of(obj)
        for port in trees(service.spec.get("ports"))
        for key in (port.get("port"), port.get("name"))
        if (service.namespace, service.name, key) in asked
    }
    return {number for number in found if number}


@rule(
    "door-reaches-what-is-routed",
    servers,
    why="a port that the door may reach, and no route leads to, is a forgotten route or a way that nobody needs",
)
def _door_reaches_what_is_routed(obj: Obj, world: World) -> Problems:
    server, network = world.servers[obj], network_of(world)
    own, routed = pod_of(server.workload), _routed_ports(world, obj)
    if not routed or not network.isolating("ingress", own):
        return
    for port in sorted({server.rest_port, server.grpc_port} - {0} - routed):
        for door in (d for d in doors(world) if network.reach(pod_of(d), own, port).allowed):
            yield Problem(
                "metadata.name",
                f"{door.obj} reaches port {port}, to which no Ingress or route leads",
                "route it, or take it out of the policy",
            )


@rule(
    "prometheus-reaches-targets",
    kinds(*MONITORS),
    why="a policy that shuts Prometheus out turns every alert on these metrics blind",
)
def _prometheus_reaches_targets(obj: Obj, world: World) -> Problems:
    network = network_of(world)
    for source in prometheus_pods(world):
        for workload in monitored(obj, world):
            for port in _scraped(obj, workload, world):
                verdict = network.reach(source, pod_of(workload), port)
                if not verdict.allowed:
                    names = ", ".join(map(str, verdict.blocked_by))
                    yield Problem(
                        "spec.selector",
                        f"{source.name} can't reach {workload.obj} on {port}: {names}",
                        "admit Prometheus' pods",
                    )


def _scraped(monitor: Obj, workload: Workload, world: World) -> set[int]:
    names = {e.get("port") for e in endpoints(monitor)}
    if monitor.kind == "PodMonitor":
        return {workload.declared_ports[n] for n in names if n in workload.declared_ports}
    ports = (p for s in services(monitor, world) for p in trees(s.spec.get("ports")) if p.get("name") in names)
    found = (workload.port_behind(p) for p in ports)
    return {number for number in found if number}


@rule("server-reaches-dns", servers, why="names resolve over UDP, and over TCP when the answer is long")
def _server_reaches_dns(obj: Obj, world: World) -> Problems:
    network = network_of(world)
    for protocol in ("UDP", "TCP"):
        verdict = network.reach(pod_of(world.workloads[obj]), DNS, 53, protocol)
        if not verdict.allowed:
            names = ", ".join(map(str, verdict.blocked_by))
            yield Problem(
                "metadata.name",
                f"can't ask DNS over {protocol}: {names}",
                f"allow egress to kube-system on 53/{protocol}",
            )


@rule("strangers-shut-out", servers, why="whoever reaches a model server can read the model out of it and wear it down")
def _strangers_shut_out(obj: Obj, world: World) -> Problems:
    network, server = network_of(world), world.servers[obj]
    for stranger in strangers(world):
        for port in {server.rest_port, server.grpc_port} - {0}:
            if network.reach(stranger, pod_of(server.workload), port).allowed:
                yield Problem(
                    "metadata.name",
                    f"{stranger.name} reaches port {port}",
                    "let a NetworkPolicy admit the door and Prometheus alone",
                )
    metrics = server.rest_port
    for source in prometheus_pods(world):
        if server.grpc_port != metrics and network.reach(source, pod_of(server.workload), server.grpc_port).allowed:
            yield Problem(
                "metadata.name",
                f"{source.name} reaches gRPC on {server.grpc_port}",
                "admit Prometheus to the metrics port alone",
            )


@rule("server-stays-inside", servers, why="a model server that was taken over must not reach anything else")
def _server_stays_inside(obj: Obj, world: World) -> Problems:
    network, own = network_of(world), pod_of(world.workloads[obj])
    for target in strangers(world):
        for port in (80, 443, 53):
            if network.reach(own, target, port).allowed:
                yield Problem("metadata.name", f"reaches {target.name} on port {port}", "allow egress to DNS alone")
                break


@rule("policy-selects-pods", kinds("NetworkPolicy"), why="a policy that selects no pod protects none, silently")
def _policy_selects_pods(obj: Obj, world: World) -> Problems:
    made = [p for _, p in operated_pods(world) if p.namespace == obj.namespace]
    pods = [pod_of(w) for w in world.workloads.values() if w.namespace == obj.namespace] + made
    network = network_of(world)
    if not any(obj in network.isolating(way, pod) for way in ("ingress", "egress") for pod in pods):
        there = {p.name: p.labels for p in pods}
        yield Problem("spec.podSelector", f"selects no pods; there are {there}", "select the labels of the pods")
    for way in ("ingress", "egress"):
        if obj.spec.get(way) and way.capitalize() not in obj.spec.get("policyTypes", ["Ingress", "Egress"]):
            yield Problem("spec.policyTypes", f"leaves out {way.capitalize()}: its rules count for nothing", "add it")


@rule(
    "policy-peers-exist",
    kinds("NetworkPolicy"),
    why="a peer that nobody is admits nobody: the rule looks open and is shut",
)
def _policy_peers_exist(obj: Obj, world: World) -> Problems:
    network = network_of(world)
    known = every_pod(world)
    for way, side in (("ingress", "from"), ("egress", "to")):
        for number, each in enumerate(trees(obj.spec.get(way))):
            for peer in trees(each.get(side)):
                if "ipBlock" in peer or _is_elsewhere(peer, world):
                    continue
                if not any(network.is_peer(peer, obj.namespace, pod) for pod in known):
                    yield Problem(
                        f"spec.{way}[{number}].{side}",
                        f"{peer} is no pod that is rendered",
                        "name a label that the namespace or pod carries",
                    )
            for port in trees(each.get("ports")):
                if way == "ingress" and not _is_port_of_any(port, obj, world):
                    yield Problem(
                        f"spec.{way}[{number}].ports",
                        f"{port.get('port')} is no port of the selected pods",
                        "use their container port",
                    )


def _is_elsewhere(peer: Tree, world: World) -> bool:
    """Whether a peer names, by the label that Kubernetes itself sets, a namespace that somebody else renders."""
    name = dig(peer, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name")
    return name is not None and name not in world.namespaces


def _is_port_of_any(port: dict[str, object], policy: Obj, world: World) -> bool:
    chosen = world.selected_workloads(policy.namespace, dig(policy.data, "spec", "podSelector"))
    return not chosen or any(port.get("port") in {None, *w.declared_ports} for w in chosen)


@rule(
    "door-is-open",
    lambda world: [d.obj for d in doors(world)],
    why="a policy that shuts the front door is an outage for everyone",
)
def _door_is_open(obj: Obj, world: World) -> Problems:
    network = network_of(world)
    for service in world.services_of(obj):
        if service.spec.get("type", "ClusterIP") == "ClusterIP":
            continue
        for port in trees(service.spec.get("ports")):
            number = world.workloads[obj].port_behind(port)
            reach = network.reach(OUTSIDE, pod_of(world.workloads[obj]), number or 0)
            if number and "metric" not in str(port.get("name")) and not reach.allowed:
                yield Problem(
                    "metadata.name",
                    f"clients can't reach port {number}: {', '.join(map(str, reach.blocked_by))}",
                    "admit everyone there",
                )


@rule(
    "door-shows-its-front-only",
    lambda world: [d.obj for d in doors(world) if network_of(world).isolating("ingress", pod_of(d))],
    why="metrics and dashboards of a gateway tell strangers who asks for what",
)
def _door_shows_its_front_only(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    outward = [s for s in world.services_of(obj) if s.spec.get("type", "ClusterIP") != "ClusterIP"]
    front = {workload.port_behind(p) for s in outward for p in trees(s.spec.get("ports"))}
    for number in sorted(set(workload.declared_ports.values()) - front):
        if network_of(world).reach(OUTSIDE, pod_of(workload), number).allowed:
            yield Problem("metadata.name", f"{OUTSIDE.name} reaches port {number}", "admit there who needs it alone")


@rule(
    "policy-rules-are-narrow",
    kinds("NetworkPolicy"),
    why="a rule without ports, or over every namespace, admits more than anybody asked for",
)
def _policy_rules_are_narrow(obj: Obj, world: World) -> Problems:
    for way, side in (("ingress", "from"), ("egress", "to")):
        for number, each in enumerate(trees(obj.spec.get(way))):
            field = f"spec.{way}[{number}]"
            ports = trees(each.get("ports"))
            if not ports or not all(p.get("port") for p in ports):
                yield Problem(f"{field}.ports", "leaves a port open to all numbers", "name each port")
            for peer in trees(each.get(side)):
                if "namespaceSelector" in peer and not _asks_anything(peer["namespaceSelector"]):
                    yield Problem(f"{field}.{side}", "selects every namespace", "name the namespace")
            if way == "ingress" and not trees(each.get(side)) and _is_private(obj, world):
                yield Problem(f"{field}.from", "lets in everyone", "name whom it admits")
            numbers = {p.get("port") for p in ports}
            if way == "egress" and not trees(each.get(side)) and not numbers <= HOST_PORTS:
                yield Problem(f"{field}.to", f"leads anywhere on {sorted(map(str, numbers))}", "name whom it may reach")


def _is_private(policy: Obj, world: World) -> bool:
    """Whether a policy selects pods, and none that the outside or the API server asks, which no selector finds."""
    selector = dig(policy.data, "spec", "podSelector")
    chosen = world.selected_workloads(policy.namespace, selector)
    made = (pod for _, pod in operated_pods(world) if pod.namespace == policy.namespace)
    public = any(_is_asked_from_outside(s, world) for w in chosen for s in world.services_of(w.obj))
    return not public and (bool(chosen) or any(matches(selector, pod.labels) for pod in made))


def _is_asked_from_outside(service: Obj, world: World) -> bool:
    refs = [a.spec.get("service") for a in world.of("APIService")]
    refs += [dig(w, "clientConfig", "service") for o in world.of(*WEBHOOKS) for w in trees(o.data.get("webhooks"))]
    named = any((dig(r, "namespace"), dig(r, "name")) == (service.namespace, service.name) for r in refs)
    return named or service.spec.get("type", "ClusterIP") != "ClusterIP"


@rule(
    "api-server-reaches-apis",
    kinds("APIService"),
    why="an aggregated API that the API server can't ask breaks discovery, and the autoscaler is blind",
)
def _api_server_reaches_apis(obj: Obj, world: World) -> Problems:
    ref = tree(obj.spec.get("service"))
    service = world.find("Service", str(ref.get("namespace")), ref.get("name"))
    asked = [p for p in trees(service.spec.get("ports")) if p.get("port") == ref.get("port", 443)] if service else []
    for workload in world.backends(service) if service else ():
        for number in (n for port in asked if (n := workload.port_behind(port))):
            verdict = network_of(world).reach(API, pod_of(workload), number)
            if not verdict.allowed:
                names = ", ".join(map(str, verdict.blocked_by))
                yield Problem("spec.service", f"{API.name} can't reach {workload.obj} on {number}: {names}", "admit it")


def _asks_anything(selector: Tree) -> bool:
    return bool(dig(selector, "matchLabels") or dig(selector, "matchExpressions"))


def guarded_namespaces(world: World) -> Iterable[Obj]:
    """The namespaces of model servers, and those that have policies of their own."""
    homes = {s.namespace for s in world.servers} | {p.namespace for p in world.of("NetworkPolicy")}
    return (ns for ns in world.of("Namespace") if ns.name in homes)


@rule(
    "namespace-denies-by-default",
    guarded_namespaces,
    why="the next pod beside the others is open to all until somebody thinks of it",
)
def _namespace_denies_by_default(obj: Obj, world: World) -> Problems:
    stray = Pod("a pod that no policy names", obj.name, {})
    for way in ("ingress", "egress"):
        if not network_of(world).isolating(way, stray):
            yield Problem(
                "metadata.name",
                f"no NetworkPolicy isolates every pod's {way}",
                "add a default-deny over podSelector: {}",
            )
