from collections.abc import Iterable, Iterator

from shakedown.lint.objects import Json, Obj, Tree, dig, tree, trees
from shakedown.lint.rule import Problem, Problems, rule
from shakedown.lint.server import METRICS_PATH, Server
from shakedown.lint.world import World

# the gRPC services of the model server and their methods (tensorflow_serving/apis)
PREDICTION, MODEL = "/tensorflow.serving.PredictionService", "/tensorflow.serving.ModelService"
METHODS = {f"{PREDICTION}/{m}" for m in ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata")}
METHODS |= {f"{MODEL}/{m}" for m in ("GetModelStatus", "HandleReloadConfigRequest")}
METHODS |= {f"/grpc.health.v1.Health/{m}" for m in ("Check", "Watch")}
RELOAD = f"{MODEL}/HandleReloadConfigRequest"


def routes(world: World) -> Iterable[Obj]:
    """HTTP routes that lead to a model server."""
    return (r for r in world.of("HTTPRoute") if any(_targets(r, each, world) for each in trees(r.spec.get("rules"))))


def _targets(obj: Obj, each: Tree, world: World) -> Iterator[tuple[Server, int]]:
    """The servers behind one rule of a route, each with the container port that is asked."""
    for ref in trees(each.get("backendRefs")):
        service = world.find("Service", str(ref.get("namespace", obj.namespace)), ref.get("name"))
        for port in trees(service.spec.get("ports")) if service else []:
            for workload in world.backends(service) if service and port.get("port") == ref.get("port") else []:
                number = workload.port_behind(port)
                if number and workload.obj in world.servers:
                    yield world.servers[workload.obj], number


def takes(each: Tree, method: str, path: str) -> bool:
    """Whether a rule takes a request without special headers, as the Gateway API defines it."""
    return any(_matches(match, method, path) for match in trees(each.get("matches")) or [{}])


def _matches(match: Tree, method: str, path: str) -> bool:
    if match.get("headers") or match.get("queryParams") or match.get("method", method) != method:
        return False
    value = str(dig(match, "path", "value") or "/")
    kind = dig(match, "path", "type") or "PathPrefix"
    if kind == "Exact":
        return path == value
    return kind == "PathPrefix" and f"{path}/".startswith(f"{value.rstrip('/')}/")


@rule(
    "route-takes-predictions",
    routes,
    why="a path that the server does not know answers 404, and one that no rule takes never gets there",
)
def _route_takes_predictions(obj: Obj, world: World) -> Problems:
    for number, each in enumerate(trees(obj.spec.get("rules"))):
        if _asks_for_more(each):
            continue
        for server, port in _targets(obj, each, world):
            wanted = {
                server.rest_port: [f"/v1/models/{name}:predict" for name in sorted(world.model_names(server))],
                server.grpc_port: [f"{PREDICTION}/Predict"],
            }.get(port, [])
            for path in wanted:
                if not takes(each, "POST", path):
                    yield Problem(
                        f"spec.rules[{number}].matches", f"does not take POST {path}", "match a prefix of that path"
                    )
            if port == server.grpc_port:
                yield from (Problem(f"spec.rules[{number}].matches", *each_) for each_ in _unknown(each))


def ingresses(world: World) -> Iterable[Obj]:
    """Ingresses that lead to a model server's REST port."""
    return (each for each in world.of("Ingress") if any(_led_to(each, world)))


def _led_to(obj: Obj, world: World) -> Iterator[tuple[str, Server]]:
    """Each path of an Ingress as the field that holds it, with the server whose REST port is behind it."""
    for i, host in enumerate(trees(obj.spec.get("rules"))):
        for j, path in enumerate(trees(dig(host, "http", "paths"))):
            service = dig(path, "backend", "service")
            port = {"name": dig(service, "port", "name"), "port": dig(service, "port", "number")}
            ref = {"name": dig(service, "name"), "port": _number(obj, dig(service, "name"), port, world)}
            for server, number in _targets(obj, {"backendRefs": [ref]}, world):
                if number == server.rest_port:
                    yield f"spec.rules[{i}].http.paths[{j}]", server


def _number(obj: Obj, service: Json, port: Tree, world: World) -> Json:
    """The number of a Service's port that an Ingress names, or numbers."""
    found = world.find("Service", obj.namespace, service)
    named = [p for p in trees(found.spec.get("ports")) if p.get("name") == port["name"]] if found else []
    return named[0].get("port") if port["name"] and named else port["port"]


@rule(
    "ingress-takes-predictions",
    ingresses,
    why="a Prefix ends at a slash: /v1/models/x takes the status of x, and never x:predict",
)
def _ingress_takes_predictions(obj: Obj, world: World) -> Problems:
    rules = trees(obj.spec.get("rules"))
    offered = [path for host in rules for path in trees(dig(host, "http", "paths"))]
    kinds_ = {"Exact": "Exact", "Prefix": "PathPrefix"}
    if any(path.get("pathType") not in kinds_ for path in offered):
        return  # what that means is the controller's own affair
    matches = [{"path": {"type": kinds_[str(p["pathType"])], "value": p.get("path")}} for p in offered]
    for field, server in _led_to(obj, world):
        for name in sorted(world.model_names(server)):
            if not takes({"matches": matches}, "POST", f"/v1/models/{name}:predict"):
                yield Problem(f"{field}.path", f"does not take POST /v1/models/{name}:predict", "say /v1/models")


def _asks_for_more(each: Tree) -> bool:
    """Whether a rule is about some headers, parameters or a path that a pattern describes: not for everybody."""
    return any(
        m.get("headers") or m.get("queryParams") or dig(m, "path", "type") == "RegularExpression"
        for m in trees(each.get("matches"))
    )


def _unknown(each: Tree) -> Iterator[tuple[str, str]]:
    for path in (tree(m.get("path")) for m in trees(each.get("matches"))):
        value = str(path.get("value") or "/").rstrip("/")
        known = (
            value in METHODS if path.get("type") == "Exact" else any(f"{m}/".startswith(f"{value}/") for m in METHODS)
        )
        if not known:
            yield f"{value!r} is no method of the server", f"use a method such as {MODEL}/GetModelStatus"


@rule(
    "route-keeps-the-inside-inside",
    routes,
    why="who can read the metrics sees all models, and who can reload the configuration replaces them",
)
def _route_keeps_the_inside_inside(obj: Obj, world: World) -> Problems:
    for number, each in enumerate(trees(obj.spec.get("rules"))):
        for server, port in _targets(obj, each, world):
            closed = {server.rest_port: ("GET", METRICS_PATH), server.grpc_port: ("POST", RELOAD)}
            if port in closed and takes(each, *closed[port]):
                yield Problem(
                    f"spec.rules[{number}].matches",
                    f"takes {' '.join(closed[port])}",
                    "match /v1, or the methods that clients call",
                )
