"""Warm-up spares the first users of a freshly loaded model what the first calls cost."""

import copy
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import yaml

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.grpc_client import based_on, reload_config, with_more
from shakedown.manifests import Manifest, Stack
from shakedown.oracle import Oracle
from shakedown.serving import Endpoint, Pod, pods, replicas_of
from shakedown.settings import Deadlines, Deployment
from shakedown.verdict import Failed, Inconclusive
from shakedown.wait import NotYet, eventually
from shakedown.workloads import troubles

pytestmark = pytest.mark.test_bed  # it writes into the model store

ROUNDS = 7
LATER = 5
FRESH = 2  # pods of each kind: one start may meet a busy moment, two rarely do
FOLDER = ".shakedown-warm-up"
TRACK = "shakedown.dev/track"
KINDS = ("warm", "cold")


@contextmanager
def both_kinds(store: Path, model: str, version: int) -> Iterator[None]:
    """The version as the import brought it, and the same without its warm-up records, in the model store."""
    for kind in KINDS:
        shutil.copytree(store / model / str(version), store / FOLDER / kind / str(version))
    shutil.rmtree(store / FOLDER / "cold" / str(version) / "assets.extra", ignore_errors=True)
    for path in [store / FOLDER, *(store / FOLDER).rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    try:
        yield
    finally:
        shutil.rmtree(store / FOLDER)


@contextmanager
def freshly_loaded(one: Endpoint, config: str) -> Iterator[None]:
    """One server loads each kind under `ROUNDS` names of its own, <kind>-<round>; taken back at the end."""
    models = {f"{kind}-{turn}": f"/models/{FOLDER}/{kind}" for kind in KINDS for turn in range(ROUNDS)}
    try:
        reload_config(one, with_more(config, models))
        yield
    finally:
        reload_config(one, config)


def seconds_of(one: Endpoint, model: str, oracle: Oracle) -> float:
    """What one prediction takes, connection included."""
    started = time.perf_counter()
    one.predict_rest(model, oracle.images[:1])
    return time.perf_counter() - started


def judged(usual: float, cold: float, warm: float) -> str:
    """What was seen, in words. Raises Failed where the first call pays, Inconclusive where there is nothing to pay."""
    said = f"first call {cold * 1e3:.1f} ms cold, {warm * 1e3:.1f} ms warmed up; usual {usual * 1e3:.1f} ms"
    if cold < 1.5 * usual:
        raise Inconclusive(f"{said}: there is no penalty to remove")
    if warm - usual > (cold - usual) / 2:
        raise Failed(f"{said}: the warm-up spares users nothing; is assets.extra/tf_serving_warmup_requests there?")
    return said


def test_warm_up_removes_the_first_calls_penalty(
    one: Endpoint,
    store: Path,
    model_config: str,
    deployment: Deployment,
    served: int,
    oracle: Oracle,
    evidence: Evidence,
) -> None:
    """Freshly loaded, a model with warm-up records answers its first call at once; without them, that one is slow."""
    first: dict[str, list[float]] = {kind: [] for kind in KINDS}
    later: list[float] = []
    with both_kinds(store, deployment.model, served), freshly_loaded(one, model_config):
        for turn in range(ROUNDS):
            for kind, seen in first.items():
                seen.append(seconds_of(one, f"{kind}-{turn}", oracle))
                later += [seconds_of(one, f"{kind}-{turn}", oracle) for _ in range(LATER)]
    said = judged(median(later), median(first["cold"]), median(first["warm"]))
    evidence(f"{said} (medians of {ROUNDS} fresh loads each)")


def pod_of(stack: Stack, deployment: Deployment, kind: str, number: int) -> Manifest:
    """A pod as the Deployment makes them, but with `kind`'s ConfigMap, and in nobody's Service."""
    template: Manifest = copy.deepcopy(stack.find("Deployment", deployment.workload)["spec"]["template"])
    for volume in template["spec"]["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["name"] = config_name(kind)
    labels = {**template["metadata"]["labels"], TRACK: FOLDER.strip(".")}
    meta = {"name": f"{config_name(kind)}-{number}", "namespace": deployment.namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def config_name(kind: str) -> str:
    """The name of the ConfigMap of one kind."""
    return f"{FOLDER.strip('.')}-{kind}"


def config_of(stack: Stack, deployment: Deployment, kind: str) -> Manifest:
    """The servers' ConfigMap with the model read from one kind's folder."""
    volumes = stack.find("Deployment", deployment.workload)["spec"]["template"]["spec"]["volumes"]
    name = next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
    data = dict(stack.find("ConfigMap", name)["data"])
    data["models.config"] = based_on(data["models.config"], deployment.model, f"/models/{FOLDER}/{kind}")
    meta = {"name": config_name(kind), "namespace": deployment.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


@contextmanager
def fresh_pods(
    cluster: Cluster, stack: Stack, deployment: Deployment, deadlines: Deadlines
) -> Iterator[dict[str, Endpoint]]:
    """`FRESH` new servers of each kind, ready, each through a tunnel of its own: {pod's name: endpoint}."""
    made: list[dict[str, Any]] = [config_of(stack, deployment, kind) for kind in KINDS]
    made += [pod_of(stack, deployment, kind, number) for number in range(FRESH) for kind in KINDS]
    text, namespace = yaml.safe_dump_all(made), deployment.namespace
    selector = f"{TRACK}={FOLDER.strip('.')}"

    def ready() -> list[Pod]:
        found = pods(cluster, namespace, selector)
        if sum(pod.ready for pod in found) < len(KINDS) * FRESH:
            raise NotYet("; ".join(trouble.text for trouble in troubles(cluster, namespace, selector)))
        return found

    cluster.kubectl("apply", "--server-side", "--filename=-", stdin=text)
    try:
        with ExitStack() as tunnels:
            fresh = eventually(ready, within=deadlines.rollout, awaited=f"{len(KINDS) * FRESH} fresh servers are Ready")
            yield tunnels.enter_context(replicas_of(cluster, namespace, fresh))
    finally:
        cluster.kubectl("delete", "--filename=-", "--wait", stdin=text, timeout=deadlines.deletion)


def test_first_prediction_of_a_fresh_pod_is_as_fast_as_later_ones(
    cluster: Cluster,
    stack: Stack,
    store: Path,
    deployment: Deployment,
    deadlines: Deadlines,
    served: int,
    oracle: Oracle,
    evidence: Evidence,
) -> None:
    """A new server's very first prediction costs about what later ones do; without the warm-up file it does not."""
    first: dict[str, list[float]] = {kind: [] for kind in KINDS}
    later: list[float] = []
    with both_kinds(store, deployment.model, served), fresh_pods(cluster, stack, deployment, deadlines) as fresh:
        for name, endpoint in fresh.items():
            endpoint.status(deployment.model)  # so that the tunnel's own first use is not counted
            kind = next(kind for kind in KINDS if name.startswith(config_name(kind)))
            first[kind].append(seconds_of(endpoint, deployment.model, oracle))
            later += [seconds_of(endpoint, deployment.model, oracle) for _ in range(LATER)]
    said = judged(median(later), min(first["cold"]), min(first["warm"]))
    evidence(f"{said} (the faster of {FRESH} fresh pods each)")
