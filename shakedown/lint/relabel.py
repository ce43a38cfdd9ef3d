"""What a monitor's relabelings make of the series that a gateway exports."""

import re
from collections.abc import Iterator, Sequence

from shakedown.lint.doors import ROUTES, backends, doors
from shakedown.lint.objects import Tree, trees
from shakedown.lint.scrape import endpoints, monitored
from shakedown.lint.world import World

Labels = dict[str, str]


def relabelled(labels: Labels, relabelings: Sequence[Tree]) -> Labels | None:
    """A series' labels afterwards, None where it is dropped; as Prometheus does it."""
    found = dict(labels)
    for each in relabelings:
        try:
            pattern = re.compile(str(each.get("regex", "(.*)")))
        except re.error:
            return None
        joined = str(each.get("separator", ";")).join(found.get(str(name), "") for name in each.get("sourceLabels", []))
        match, action = pattern.fullmatch(joined), str(each.get("action", "replace")).lower()
        if (action == "keep" and not match) or (action == "drop" and match):
            return None
        if action == "labeldrop":
            found = {name: value for name, value in found.items() if not pattern.fullmatch(name)}
        if action == "replace" and match and each.get("targetLabel"):
            found[str(each["targetLabel"])] = _expand(match, str(each.get("replacement", "$1")))
    return found


def _expand(match: re.Match[str], template: str) -> str:
    """The template as Go's regexp expands it: a group that is not there holds nothing, and `$1x` asks for one `1x`."""
    held = {"0": match[0], **{str(n): each for n, each in enumerate(match.groups(""), 1)}, **match.groupdict("")}
    return re.sub(r"\$(?:\{(\w+)\}|(\w+)|\$)", lambda m: held.get(m[1] or m[2], "") if m.lastindex else "$", template)


def gateway_series(metric: str, world: World) -> Iterator[Labels]:
    """The series of Traefik's that requests to each routed Service make, as they are kept."""
    at_door = {door.obj for door in doors(world)}
    scraping = [m for m in world.of("ServiceMonitor") if any(w.obj in at_door for w in monitored(m, world))]
    for route in world.of(*ROUTES):
        for number, (namespace, service, _, _) in enumerate(backends(route)):
            place = f"httproute-{route.namespace}-{route.name}-gw-gateway-main-ep-web-{number}-{'0' * 20}"
            made = {"__name__": metric, "service": f"{place}-svc-{namespace}-{service}-{number}@kubernetesgateway"}
            for monitor in scraping:
                for endpoint in endpoints(monitor):
                    kept = relabelled(made, trees(endpoint.get("metricRelabelings")))
                    if kept is not None:
                        yield kept
