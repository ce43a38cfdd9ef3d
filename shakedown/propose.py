"""Reads rendered manifests and proposes the shakedown.toml that names what is in them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shakedown.lint import doors, protos
from shakedown.lint.load import Source
from shakedown.lint.objects import Obj, dig, trees
from shakedown.lint.schemas import Schemas
from shakedown.lint.server import Server
from shakedown.lint.world import Tools, World

HEAD = """\
# Proposed by `shakedown init` from the manifests; look it over. What it does not name has Shakedown's own values: see
# deadlines, objectives and faults in shakedown/settings.py.
cluster_provider = "existing"
# kube_context = "..." # no cluster is ever guessed; --kube-context names it too
"""
GOLDEN = """\
# golden = "..." # folder with golden.npz and golden.json, your model's answers: Golden.save in models/golden.py
# Without it the answers of this project's own digits model are asked for, and yours are all wrong.
"""


class NothingToPropose(Exception):
    """The manifests hold no model server, or several; the message says which."""


class Trusting(Schemas):
    """Takes every object as it is: whether it is well formed is asked by `pytest suites/static --manifests`."""

    def misshapen(self, obj: Obj) -> bool:  # noqa: ARG002 - the same for each
        """Nothing is."""
        return False


@dataclass(frozen=True)
class Named:
    """A value of shakedown.toml, and where it was read."""

    name: str
    value: str | int | bool
    source: str


def propose(source: Source, workload: str = "") -> str:
    """The text of a shakedown.toml for the model server in these manifests; `workload` chooses one of several.

    Raises NothingToPropose where there is none, or where there are several and none is chosen.
    """
    world = World(source.objects(frozenset()), Tools(Trusting(()), Path()))
    server = chosen(world, workload)
    replicas = world.fewest(server.workload.obj)
    lines = [HEAD, "[deployment]", *(line(each) for each in deployment(world, server)), GOLDEN]
    return "\n".join([*lines, "[objectives]", line(Named("replicas", replicas, "the fewest that may run"))]) + "\n"


def line(named: Named) -> str:
    """One line of the file, with its source; TOML writes strings, numbers and truth as JSON does."""
    return f"{named.name} = {json.dumps(named.value, ensure_ascii=False)} # {named.source}"


def chosen(world: World, workload: str) -> Server:
    """The server that is judged: the named one, else the only one that is no canary."""
    found = [world.servers[obj] for obj in world.stable_servers if obj.kind == "Deployment"]
    found = [each for each in found if workload in {"", each.workload.obj.name}]
    if not found:
        others = ", ".join(f"{obj.kind} {obj.name}" for obj in world.servers) or "nothing"
        named = f"Deployment {workload}" if workload else "Deployment"
        raise NothingToPropose(
            f"no {named} runs a model server, and no other kind can be judged; what runs one: {others}"
        )
    if len(found) > 1:
        names = [each.workload.obj.name for each in found]
        raise NothingToPropose(f"several Deployments run a model server, choose one with --workload: {names}")
    return found[0]


def deployment(world: World, server: Server) -> Iterator[Named]:
    """The names of what is verified, each with its source."""
    obj = server.workload.obj
    yield Named("namespace", obj.namespace or "default", str(obj))
    yield Named("workload", obj.name, str(obj))
    services = sorted(world.services_of(obj), key=lambda each: (not doors.is_routed(each, world), each.name))
    if services:
        yield Named("service", services[0].name, f"{services[0]}, the first that selects its pods")
    yield Named("rest_port", server.rest_port or 8501, f"{obj}: --rest_api_port")
    yield Named("grpc_port", server.grpc_port or 8500, f"{obj}: --port")
    yield from model(world, server)
    yield from door(world, services)
    watched = [each.namespace for each in world.of("Prometheus")]
    sinks = {each.namespace for each in world.of("Service") if each.name == "alert-sink"}
    place = next((each for each in watched if each in sinks), "")
    yield Named("monitoring", place, "the namespace of Prometheus and of a receiver like this project's alert-sink")


def model(world: World, server: Server) -> Iterator[Named]:
    """The model that is asked, its version where the configuration pins one, and the largest batch."""
    names = sorted(world.model_names(server))
    yield Named("model", names[0] if names else "model", f"configured are {names or 'none that could be read'}")
    try:
        configured = protos.parse("ModelServerConfig", world.flag_file(server, "model_config_file") or "")
        batching = protos.parse("BatchingParameters", world.flag_file(server, "batching_parameters_file") or "")
    except protos.TextProtoError:
        return
    for each in configured.model_config_list.config:  # type: ignore[attr-defined]
        pinned = list(each.model_version_policy.specific.versions)
        if each.name == names[0] and len(pinned) == 1:
            yield Named("version", pinned[0], "model_version_policy")
    if size := batching.max_batch_size.value:  # type: ignore[attr-defined]
        yield Named("batch", size, "max_batch_size")


def door(world: World, services: Sequence[Obj]) -> Iterator[Named]:
    """The host name that leads to the server, and whether gRPC gets in too."""
    wanted = {(each.namespace, each.name) for each in services}
    routes = [
        obj
        for obj in world.of("Ingress", *doors.ROUTES)
        if any((namespace, name) in wanted for namespace, name, _, _ in doors.backends(obj))
    ]
    hosts = [(str(host), obj) for obj in routes for host in hosts_of(obj)]
    if hosts:
        yield Named("hostname", hosts[0][0], str(hosts[0][1]))
    ports = [port for obj in routes for namespace, name, port, _ in doors.backends(obj) if (namespace, name) in wanted]
    led = f"routes lead to ports {ports} of the Service: REST and gRPC" if ports else "no route leads to the Service"
    yield Named("whole_door", len(set(ports)) > 1, led)


def hosts_of(obj: Obj) -> list[object]:
    """The host names of an Ingress or a route."""
    if obj.kind == "Ingress":
        return [rule["host"] for rule in trees(obj.spec.get("rules")) if rule.get("host")]
    return list(dig(obj.spec, "hostnames") or [])
