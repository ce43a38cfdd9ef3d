import json
import re
from collections.abc import Iterator

from shakedown.lint.doors import ROUTES, doors
from shakedown.lint.objects import Obj, Tree, dig, read_yaml, tree
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.rules.network import pod_of
from shakedown.lint.scrape import prometheus_pods
from shakedown.lint.urls import obstacles, place_of, service_at
from shakedown.lint.workload import Workload
from shakedown.lint.world import World

ADDRESS = re.compile(r"([\w.-]+|\[[\da-fA-F:.]+\])(:\d{1,5})?")  # scheme and path have fields of their own
PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/\d+)?:(predict|classify|regress)")


def prober_of(probe: Obj, world: World) -> Workload | None:
    """The workload that a Probe's prober is, None where it isn't rendered."""
    place = place_of(str(dig(probe.spec, "prober", "url")))
    service = service_at(place, world) if place else None
    return next(iter(world.backends(service)), None) if service else None


def modules(prober: Workload, world: World) -> Tree:
    """The modules of a blackbox exporter's configuration; empty where it can't be read."""
    for container in prober.containers:
        for word in container.command_line:
            found = re.fullmatch(r"--config\.file=(\S+)", word)
            text = world.file_in(prober, container, found[1]) if found else None
            if text:
                return tree(read_yaml(text).get("modules"))
    return {}


def static_targets(probe: Obj) -> list[str]:
    """The addresses that a Probe names outright."""
    return [str(each) for each in dig(probe.spec, "targets", "staticConfig", "static") or []]


@rule("probe-finds-its-prober", kinds("Probe"), why="a probe that nobody carries out is a target that is down for ever")
def _probe_finds_its_prober(obj: Obj, world: World) -> Problems:
    url = str(dig(obj.spec, "prober", "url") or "")
    if not ADDRESS.fullmatch(url):
        yield Problem("spec.prober.url", f"{url!r} is no address", "name host:port of the prober")
    for source in prometheus_pods(world):
        for says, mend in obstacles(url, source, world):
            yield Problem("spec.prober.url", says, mend)
    prober = prober_of(obj, world)
    if prober and obj.spec.get("module") not in modules(prober, world):
        yield Problem(
            "spec.module",
            f"{obj.spec.get('module')!r} is none of {sorted(modules(prober, world))}",
            "name a module of the prober's configuration",
        )


@rule(
    "probe-finds-its-target", kinds("Probe"), why="a probe of an address that nobody answers reports an outage for ever"
)
def _probe_finds_its_target(obj: Obj, world: World) -> Problems:
    prober = prober_of(obj, world)
    names = {name for server in world.servers.values() for name in world.model_names(server)}
    if not static_targets(obj) and not dig(obj.spec, "targets", "ingress"):
        yield Problem("spec.targets", "names none", "name a target")
    for url in static_targets(obj):
        for says, mend in obstacles(url, pod_of(prober), world) if prober else ():
            yield Problem("spec.targets.staticConfig.static", says, mend)
        place = place_of(url)
        asked = PREDICT.fullmatch(place.path) if place else None
        if asked and names and asked[1] not in names:
            yield Problem(
                "spec.targets.staticConfig.static", f"asks model {asked[1]!r}; there are {sorted(names)}", "name one"
            )
        if place and "/v1/models" in place.path and not asked:
            yield Problem("spec.targets.staticConfig.static", f"{place.path} predicts nothing", "end it with :predict")


@rule(
    "probe-checks-the-answer", kinds("Probe"), why="a server answers 200 with nonsense, too: only the answer proves it"
)
def _probe_checks_the_answer(obj: Obj, world: World) -> Problems:
    prober = prober_of(obj, world)
    module = tree(modules(prober, world).get(str(obj.spec.get("module")))) if prober else {}
    http = tree(module.get("http"))
    predicts = any(PREDICT.search(url) for url in static_targets(obj))
    for says in _module_problems(http) if module and predicts else ():
        yield Problem(f"spec.module[{obj.spec.get('module')}]", says, "correct it in the prober's configuration")
    wanted = {h for route in world.of(*ROUTES) for h in route.spec.get("hostnames") or []}
    for place in (p for url in static_targets(obj) if (p := place_of(url))):
        service = service_at(place, world)
        at_door = service and any(w in doors(world) for w in world.backends(service))
        if at_door and wanted and dig(http, "headers", "Host") not in wanted:
            yield Problem(
                f"spec.module[{obj.spec.get('module')}]",
                f"asks the gateway for host {dig(http, 'headers', 'Host')!r}; it routes {sorted(wanted)}",
                "set the header Host",
            )


def _module_problems(http: Tree) -> Iterator[str]:
    if http.get("method") != "POST":
        yield f"asks with {http.get('method', 'GET')}, and predictions are POSTed"
    try:
        if not dig(json.loads(str(http.get("body"))), "instances"):
            yield "its body holds no instances"
    except ValueError:
        yield "its body is no JSON"
    checks = http.get("fail_if_body_not_matches_regexp") or []
    if not any("predictions" in str(each) and re.search(r"\d", str(each)) for each in checks):
        yield "does not look at the predictions that come back"
