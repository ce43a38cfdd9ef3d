import re
from functools import lru_cache

from shakedown.lint.objects import Obj, dig, trees
from shakedown.lint.workload import Workload
from shakedown.lint.world import World

IMAGE = re.compile(r"traefik|ingress-nginx|nginx-ingress|envoy|haproxy-ingress|kong|contour")
ARGUMENT = re.compile(r"--(providers\.kubernetes|entrypoints\.|ingress-class|controller-class)", re.IGNORECASE)
ROUTES = ("HTTPRoute", "GRPCRoute")


@lru_cache(maxsize=2)
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


@lru_cache(maxsize=2)
def routed(world: World) -> frozenset[tuple[str, str]]:
    """Namespace and name of every Service that an Ingress or a route leads to with a weight above 0."""
    found = (each for obj in world.of("Ingress", *ROUTES) for each in backends(obj))
    return frozenset((namespace, name) for namespace, name, _, weight in found if weight != 0)


def is_routed(service: Obj, world: World) -> bool:
    """Whether an Ingress or a route leads to a Service with a weight above 0."""
    return (service.namespace, service.name) in routed(world)
