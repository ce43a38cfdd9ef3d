"""Real causes of alerts: each is a block that begins with proof that it bit, and ends when all is as it was."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from shakedown.api_paths import autoscaler_path, deployment_path
from shakedown.cluster import Cluster
from shakedown.cluster.access import CommandFailed
from shakedown.faults.undo import in_store, send
from shakedown.lab import AGNHOST
from shakedown.ledger import Ledger
from shakedown.lint.quantity import quantity
from shakedown.verdict import Failed, Inconclusive
from shakedown.wait import NotYet, eventually

DARK = "203.0.113.7"  # RFC 5737: nobody has it, and the gateway's policy lets nothing out to it
SHARE = (10, 1)  # of good and bad: eleven in a round, so that no prober's rhythm meets the bad one every time
RELOADER_S = 240.0  # the config-reloader's watch interval of 3 minutes, and the way of a Secret to the pod
FILLERS = "shakedown-full"  # a namespace of pods that fill nodes: no quota bounds them, and all go with it
Json = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """Where causes are made: the cluster, the namespace of the model, and the longest that one takes, in seconds."""

    cluster: Cluster
    ledger: Ledger
    namespace: str
    within: float

    def told(self, name: str, target: str, step: str, said: str = "") -> str:
        """Write a step of a cause down."""
        self.ledger.record("fault", name=name, target=target, step=step, said=said)
        return said

    def proven(self, name: str, target: str, prove: Callable[[], str]) -> str:
        """Wait for the proof that a cause bit. Raises Inconclusive without one."""
        try:
            said = eventually(prove, within=self.within, awaited=f"{name} of {target} shows")
        except Failed as silent:
            raise Inconclusive(f"the cause never came about, so nothing can be judged: {silent}") from silent
        return self.told(name, target, "proven", said)


@contextmanager
def made(scene: Scene, namespace: str, objects: Sequence[Json]) -> Iterator[None]:
    """Objects that are there for a while; deleted on the way out, and waited for."""
    text = yaml.safe_dump_all(list(objects))
    scene.cluster.kubectl("apply", "--server-side", f"--namespace={namespace}", "--filename=-", stdin=text)
    try:
        yield
    finally:
        limit = f"--timeout={scene.within:g}s"
        scene.cluster.kubectl(
            *("delete", "--ignore-not-found", f"--namespace={namespace}", "--filename=-", limit),
            stdin=text,
            timeout=scene.within + 10,
        )


@contextmanager
def changed(scene: Scene, path: str, field: str, value: object) -> Iterator[None]:
    """One field of an object (a JSON pointer) has another value for a while; then the old one, or none, again."""
    before: Any = scene.cluster.get(path)
    for part in field.strip("/").split("/"):
        before = before[int(part)] if isinstance(before, list) else before.get(part)
    send(scene.cluster, "PATCH", path, [{"op": "add", "path": field, "value": value}])
    try:
        yield
    finally:
        back = {"op": "remove", "path": field} if before is None else {"op": "add", "path": field, "value": before}
        send(scene.cluster, "PATCH", path, [back])


def small_pod(name: str, script: str, limits: dict[str, str], container: str) -> Json:
    """A pod that runs a shell script under the strictest pod security; /fill is memory. No Service selects it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"shakedown.dev/cause": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,  # it has nothing to finish
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": container,
                    "image": AGNHOST,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/sh", "-c", script],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": limits, "limits": limits},
                    "volumeMounts": [{"name": "fill", "mountPath": "/fill"}],
                }
            ],
            "volumes": [{"name": "fill", "emptyDir": {"medium": "Memory"}}],
        },
    }


@contextmanager
def container_at(
    scene: Scene, name: str, script: str, limits: dict[str, str], prove: Sequence[str], container: str
) -> Iterator[str]:
    """A container of the servers' name that is at its limit; a command in it that ends well is the proof."""

    def at_its_limit() -> str:
        try:
            said = scene.cluster.kubectl("exec", f"--namespace={scene.namespace}", name, "--", *prove)
        except CommandFailed as error:  # not running yet, or not there yet
            raise NotYet(str(error)[-200:]) from error
        return f"{name}: {said.strip()}"

    with made(scene, scene.namespace, [small_pod(name, script, limits, container)]):
        yield scene.proven("container-at-its-limit", name, at_its_limit)


def busy_container(scene: Scene, name: str, container: str) -> Any:  # noqa: ANN401 - a context manager of the proof
    """A container burns all the CPU that its limit allows."""
    worked = "read -r line < /proc/1/stat; set -- ${line##*) }; [ ${12} -gt 20 ] && echo ${12} ticks of CPU"
    limits = {"cpu": "100m", "memory": "32Mi"}
    return container_at(scene, name, "while :; do :; done", limits, ["sh", "-c", worked], container)


def full_container(scene: Scene, name: str, container: str) -> Any:  # noqa: ANN401 - a context manager of the proof
    """A container holds nearly all the memory that its limit allows."""
    fill = "dd if=/dev/zero of=/fill/x bs=1M count=58 && touch /fill/done; while :; do sleep 1; done"
    limits = {"cpu": "50m", "memory": "64Mi"}
    return container_at(scene, name, fill, limits, ["sh", "-c", "ls /fill/done && du -sm /fill"], container)


@contextmanager
def crash_loop(scene: Scene, *names: str) -> Iterator[str]:
    """Pods whose container ends at once, each time that it is started."""
    pods = [small_pod(name, "exit 3", {"cpu": "10m", "memory": "16Mi"}, "crasher") for name in names]

    def waiting() -> str:
        for name in names:
            statuses = scene.cluster.core.read_namespaced_pod(name, scene.namespace).status.container_statuses or []
            pause = [s for s in statuses if s.state.waiting and s.state.waiting.reason == "CrashLoopBackOff"]
            if not pause:
                raise NotYet(f"{name} is not in CrashLoopBackOff")
        return f"{', '.join(names)} in CrashLoopBackOff"

    with made(scene, scene.namespace, pods):
        yield scene.proven("crash-loop", ", ".join(names), waiting)


@contextmanager
def broken_version(scene: Scene, source: Path, model: str, version: int) -> Iterator[str]:
    """A version that can't be loaded lies in the store, under a number of its own, put there by one rename."""
    place, beside = in_store(scene.cluster, f"{model}/{version}"), in_store(scene.cluster, ".incoming-shakedown")
    shutil.copytree(source, beside)
    for path in [beside, *beside.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    beside.rename(place)
    try:
        yield scene.told("broken-version", f"{model}/{version}", "proven", f"{source.name} as version {version}")
    finally:
        place.rename(beside)
        shutil.rmtree(beside)


@contextmanager
def pinned_autoscaler(scene: Scene, name: str) -> Iterator[str]:
    """An HPA's maximum is what it has now: it can't go further."""
    path = autoscaler_path(scene.namespace, name)
    most = scene.cluster.get(path)["status"]["desiredReplicas"]

    def pinned() -> str:
        found = scene.cluster.get(path)
        if found["status"]["desiredReplicas"] < found["spec"]["maxReplicas"]:
            raise NotYet(f"{found['status']['desiredReplicas']} desired of {found['spec']['maxReplicas']}")
        return f"HPA {name} desires {most} of at most {most}"

    with changed(scene, path, "/spec/maxReplicas", most):
        yield scene.proven("autoscaler-pinned", name, pinned)


def available(scene: Scene, namespace: str, name: str) -> tuple[int, int]:
    """Available and wanted replicas of a Deployment."""
    found = scene.cluster.get(deployment_path(namespace, name))
    return found.get("status", {}).get("availableReplicas", 0), found["spec"]["replicas"]


@contextmanager
def nothing_left(scene: Scene, namespace: str, name: str) -> Iterator[str]:
    """A Deployment is scaled to nought; back at its size, all available, at the end."""

    def none() -> str:
        if has := available(scene, namespace, name)[0]:
            raise NotYet(f"{has} replicas available")
        return f"{namespace}/{name} has no available replica"

    with ExitStack() as after:
        after.callback(await_available, scene, namespace, name)
        with changed(scene, deployment_path(namespace, name), "/spec/replicas", 0):
            yield scene.proven("scaled-to-nothing", f"{namespace}/{name}", none)


def await_available(scene: Scene, namespace: str, name: str) -> None:
    """Wait until a Deployment has all its replicas."""

    def back() -> None:
        has, wants = available(scene, namespace, name)
        if has < wants or not wants:
            raise NotYet(f"{has} of {wants} replicas available")

    eventually(back, within=scene.within, awaited=f"Deployment {namespace}/{name} is back")
    scene.told("scaled-to-nothing", f"{namespace}/{name}", "restored")


@contextmanager
def unschedulable(scene: Scene, name: str, pod: str, nodes: Sequence[str]) -> Iterator[str]:
    """A pod of a Deployment is deleted while no node takes a new one."""

    def fewer() -> str:
        has, wants = available(scene, scene.namespace, name)
        if has >= wants:
            raise NotYet(f"{has} of {wants} replicas available")
        return f"{has} of {wants} replicas of {name} available while {len(nodes)} nodes are cordoned"

    with ExitStack() as after:
        after.callback(await_available, scene, scene.namespace, name)
        for node in nodes:
            after.enter_context(changed(scene, f"/api/v1/nodes/{node}", "/spec/unschedulable", value=True))
        scene.cluster.kubectl("delete", "pod", pod, f"--namespace={scene.namespace}", "--wait=false")
        yield scene.proven("no-node-takes-it", pod, fewer)


def free_cpu(cluster: Cluster, node: str) -> Decimal:
    """The cores of a node that no pod on it has asked for."""
    pods = cluster.core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}").items
    asked = sum(asked_by(pod) for pod in pods if pod.status.phase not in ("Succeeded", "Failed"))
    there = cluster.get(f"/api/v1/nodes/{node}")["status"]["allocatable"]["cpu"]
    return (quantity(there) or Decimal()) - asked


def asked_by(pod: Any) -> Decimal:  # noqa: ANN401 - the client ships no types
    """The cores that a pod keeps from others: its containers' together, or the largest that one asks for to begin."""

    def cores(containers: Sequence[Any] | None) -> list[Decimal]:
        found = [(each.resources.requests or {}).get("cpu", "0") for each in containers or []]
        return [quantity(each) or Decimal() for each in found]

    return max(sum(cores(pod.spec.containers), Decimal()), *cores(pod.spec.init_containers), Decimal())


@contextmanager
def full_nodes(scene: Scene, nodes: Sequence[str], left: float) -> Iterator[str]:
    """Pods that do nothing ask for all the CPU that nodes have to give, but for `left` cores of each."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FILLERS}}
    pods = []
    for node in nodes:
        spare = int((free_cpu(scene.cluster, node) - Decimal(str(left))) * 1000)
        pod = small_pod(f"shakedown-full-{node}", "sleep 3600", {"cpu": f"{spare}m", "memory": "16Mi"}, "filler")
        once = {"restartPolicy": "Never"}  # where the run is killed, the node has room again after an hour
        pods.append({**pod, "spec": {**pod["spec"], "nodeName": node, **once}})

    def filled() -> str:
        for pod in pods:
            name = pod["metadata"]["name"]
            if (phase := scene.cluster.core.read_namespaced_pod(name, FILLERS).status.phase) != "Running":
                raise NotYet(f"{name} is {phase}")
        rest = ", ".join(f"{free_cpu(scene.cluster, node)} cores of {node}" for node in nodes)
        return f"left to ask for: {rest}"

    with made(scene, FILLERS, [namespace, *pods]):
        yield scene.proven("nodes-full", ", ".join(nodes), filled)


@contextmanager
def bad_backend(scene: Scene, route: str, objects: Sequence[Json], prove: Callable[[], str]) -> Iterator[str]:
    """One request in eleven goes to a Service that is no good."""
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{scene.namespace}/httproutes/{route}"
    backends = scene.cluster.get(path)["spec"]["rules"][0]["backendRefs"]
    service = objects[0]["metadata"]["name"]
    good, bad = SHARE
    mixed = [{**backends[0], "weight": good}, {**backends[0], "name": service, "weight": bad}]
    with made(scene, scene.namespace, objects), changed(scene, path, "/spec/rules/0/backendRefs", mixed):
        yield scene.proven("bad-backend", service, prove)


def nobody(name: str) -> list[Json]:
    """A Service that selects no pod: the gateway answers 503."""
    return [service(name, {"shakedown.dev/cause": "nobody-at-all"})]


def dark(name: str) -> list[Json]:
    """A Service whose only address answers nothing at all: the gateway waits for its dial time-out, then retries."""
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [DARK], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 8501, "protocol": "TCP"}],
    }
    return [service(name, None), endpoints]


def service(name: str, selector: dict[str, str] | None) -> Json:
    """A Service of the REST port."""
    ports = [{"name": "http", "port": 8501, "targetPort": 8501}]
    spec: Json = {"ports": ports, **({"selector": selector} if selector else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@contextmanager
def refused_configuration(scene: Scene, namespace: str, prometheus: str, taken: Callable[[], None]) -> Iterator[str]:
    """Prometheus is handed a scrape configuration with a field that there is none of.

    It is mended by a good one; `taken` raises NotYet until Prometheus has taken that, for which its reloader's three
    minutes are left: so long it tries a refused configuration again before it looks for another.
    """
    name = "shakedown-refused"
    jobs = {"bad.yaml": [{"job_name": "x", "no_such_field": True}], "good.yaml": [{"job_name": "x"}]}
    text = {key: json.dumps(value) for key, value in jobs.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": text}
    path = f"/apis/monitoring.coreos.com/v1/namespaces/{namespace}/prometheuses/{prometheus}"
    field = "/spec/additionalScrapeConfigs"
    with made(scene, namespace, [secret]), changed(scene, path, field, {"name": name, "key": "bad.yaml"}):
        try:
            yield scene.told("configuration-refused", prometheus, "proven", f"{field} holds no_such_field")
        finally:
            send(scene.cluster, "PATCH", path, [{"op": "replace", "path": f"{field}/key", "value": "good.yaml"}])
            eventually(taken, within=RELOADER_S, awaited="Prometheus takes a configuration again")
