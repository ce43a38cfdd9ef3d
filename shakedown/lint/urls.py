"""What stands behind the URL of a Service, and whether a pod may ask there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shakedown.lint.objects import Obj, trees
from shakedown.lint.reach import Network, Pod
from shakedown.lint.scrape import operated_pods, operated_services
from shakedown.lint.world import World

URL = re.compile(r"(?:https?://)?([\w-]+)\.([\w-]+)\.svc(?:\.[\w.-]+)?(?::(\d+))?(/\S*)?")
DNS = Pod("the cluster's DNS", "kube-system", {"k8s-app": "kube-dns"}, {"dns": 53, "dns-tcp": 53})


@dataclass(frozen=True)
class Place:
    """Where a URL leads in the cluster: Service, port and path."""

    name: str
    namespace: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"Service {self.namespace}/{self.name}"


def place_of(url: str) -> Place | None:
    """The Service that a URL names; None for one outside of the cluster."""
    found = URL.fullmatch(url)
    return Place(found[1], found[2], int(found[3] or 80), found[4] or "/") if found else None


def service_at(place: Place, world: World) -> Obj | None:
    """The rendered Service, or the one that the operator makes."""
    made = (s for s in operated_services(world) if (s.namespace, s.name) == (place.namespace, place.name))
    return world.find("Service", place.namespace, place.name) or next(made, None)


def obstacles(url: str, asker: Pod, world: World) -> Iterator[tuple[str, str]]:
    """What keeps a pod from getting an answer at a URL, and the mend; nothing where the URL leads elsewhere."""
    place = place_of(url)
    if place is None or place.namespace not in world.namespaces:
        return
    service = service_at(place, world)
    if service is None:
        yield f"asks {place}, which is not rendered", "name a Service that is"
        return
    port = next((p for p in trees(service.spec.get("ports")) if p.get("port") == place.port), None)
    if port is None:
        yield f"asks {place} on port {place.port}, which it does not have", "ask a port that it has"
        return
    network = Network(world)
    behind = [
        (Pod(str(w.obj), w.namespace, w.labels, w.declared_ports), w.port_behind(port)) for w in world.backends(service)
    ]
    behind += [
        (pod, place.port)
        for instance, pod in operated_pods(world)
        if (place.namespace, place.name) == (instance.namespace, f"{instance.kind.lower()}-operated")
    ]
    asked = [(DNS, 53, "UDP"), (DNS, 53, "TCP"), *((pod, number or 0, "TCP") for pod, number in behind)]
    for target, number, protocol in asked:
        verdict = network.reach(asker, target, number, protocol)
        if not verdict.allowed:
            names = ", ".join(map(str, verdict.blocked_by))
            yield f"{asker.name} can't reach {target.name} on {number}/{protocol}: {names}", "admit it"
