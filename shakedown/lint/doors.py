import re

from shakedown.lint.objects import Obj, dig, trees
from shakedown.lint.workload import Workload
from shakedown.lint.world import World

IMAGE = re.compile(r"traefik|ingress-nginx|nginx-ingress|envoy|haproxy-ingress|kong|contour")
ARGUMENT = re.compile(r"--(providers\.kubernetes|entrypoints\.|ingress-class|controller-class)", re.IGNORECASE)
ROUTES = ("HTTPRoute", "GRPCRoute")


def doors(world: World) -> list[Workload]:
    """The gateways and ingress controllers, known by image or arguments."""
    return [
        w
        for w in world.workloads.values()
        if any(IMAGE.search(c.image) or any(ARGUMENT.match(a) for a in c.command_line) for c in w.containers)
    ]


def backends(obj: Obj) -> list[tuple[str, str, int | str | None, int | None]]:
    """Namespace, Service, port and weight of everything that an Ingress or a route leads to."""
    if obj.kind == "Ingress":
        found = [p.get("backend") for r in trees(obj.spec.get("rules")) for p in trees(dig(r, "http", "paths"))]
        found += [obj.spec["defaultBackend"]] if "defaultBackend" in obj.spec else []
        services = [dig(b, "service") or {} for b in found]
        ports = [dig(s, "port", "name") or dig(s, "port", "number") for s in services]
        return [(obj.namespace, str(s.get("name")), p, None) for s, p in zip(services, ports, strict=True)]
    refs = [b for r in trees(obj.spec.get("rules")) for b in trees(r.get("backendRefs"))]
    return [
        (str(b.get("namespace", obj.namespace)), str(b.get("name")), b.get("port"), b.get("weight", 1)) for b in refs
    ]


def leads_to(obj: Obj, service: Obj) -> bool:
    """Whether an Ingress or a route leads to a Service with a weight above 0."""
    return any((ns, name) == (service.namespace, service.name) and weight != 0 for ns, name, _, weight in backends(obj))
