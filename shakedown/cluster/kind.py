"""Test clusters of kind: made, kept, brought back to clean, swept up after a run that died."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import psutil
from kubernetes.client import ApiException
from pytest_kind import KindCluster

from shakedown.cluster import baseline, ports
from shakedown.cluster.access import Cluster
from shakedown.cluster.config import kind_config
from shakedown.cluster.registry import Home, Record, fresh_name, homes
from shakedown.cluster.settle import await_nodes, await_system_pods, cut_upstream
from shakedown.progress import say, timed
from shakedown.settings import Clock, Deadlines, Provider
from shakedown.verdict import Failed, UnusableEnvironment

NODES = 3
Heal = Callable[[Cluster], None]  # undoes the faults that a dead run left in a kept cluster


class Bed(Protocol):
    """What kind clusters are made of."""

    @property
    def kind(self) -> Path:
        """The kind binary."""

    @property
    def kubectl(self) -> Path:
        """The kubectl binary."""

    @property
    def node_image(self) -> str:
        """The node image, there in the Docker engine."""

    @property
    def seed(self) -> Path | None:
        """The images as the nodes' containerd keeps them; None where they are loaded afterwards."""

    @property
    def images(self) -> tuple[str, ...]:
        """The images that the stack needs, by their full names."""

    def node_stores(self, cluster: str, nodes: int) -> list[Path]:
        """Each node's own containerd folder, filled from the seed; empty without one."""

    def remove_stores(self, cluster: str) -> None:
        """Remove what node_stores made; only when the cluster is gone."""


@dataclass(frozen=True)
class Order:
    """What cluster is wanted: `name` empty for one of this run's own, `keep` to leave it for a later run."""

    clock: Clock
    keep: bool
    name: str
    gateway_port: int
    root: Path

    @property
    def kept_name(self) -> str:
        """A kept cluster's name tells its clock, so that one of the other clock is never taken for it."""
        return f"{self.name or 'shakedown'}-{self.clock}"


@contextmanager
def kind_cluster(order: Order, bed: Bed, deadlines: Deadlines, heal: Heal) -> Iterator[Cluster]:
    """A clean cluster of kind; deleted on the way out unless it is to be kept.

    What dead runs left is deleted first. A kept cluster is taken again where it is whole, of the same recipe,
    not in use, and can be healed and brought back to its baseline; else a new one is made.
    """
    sweep(order.root, bed)
    home = claim(order)
    try:
        cluster = reuse(home, order, bed, deadlines, heal) or create(home, order, bed, deadlines)
        yield cluster
    finally:
        if order.keep and home.name == order.kept_name and (record := home.read()) and record.whole:
            say(f"cluster {home.name} is kept; `make clean` deletes it")
        else:
            destroy(home, bed)
        home.release()


def claim(order: Order) -> Home:
    """A home that this run owns: the kept one's, unless a living run has it."""
    order.root.mkdir(parents=True, exist_ok=True)
    if order.keep:
        home = Home(order.root, order.kept_name)
        if home.claim():
            return home
        say(f"cluster {home.name} is in use by another run; this run makes one of its own, which will not be kept")
    home = Home(order.root, fresh_name())
    home.claim()
    return home


def sweep(root: Path, bed: Bed) -> None:
    """Delete the clusters whose run is dead, but for whole ones that were to be kept."""
    for home in homes(root):
        if not home.claim():
            continue
        record = home.read()
        if record is None or not (record.keep and record.whole):
            say(f"deleting cluster {home.name}, left by a run that ended early")
            destroy(home, bed)
        home.release()


def recipe_of(order: Order, bed: Bed) -> str:
    """What a cluster must have been made of to be taken again."""
    config = kind_config(order.clock, 0, Path("/store"), Path("/volumes"), [])
    return hashlib.sha256(f"{config}{bed.node_image}{bed.seed}{bed.images}".encode()).hexdigest()[:16]


def reuse(home: Home, order: Order, bed: Bed, deadlines: Deadlines, heal: Heal) -> Cluster | None:
    """The kept cluster, clean; None (and deleted) where it can't be taken."""
    record = home.read()
    if record is None:
        return None
    started = time.monotonic()
    cluster = cluster_of(home, record, bed)
    reason = unfit(record, order, bed) or unclean(cluster, record, deadlines, heal)
    if reason:
        say(f"kept cluster {home.name} is not taken again: {reason}")
        destroy(home, bed)
        return None
    for folder in (home.store, home.volumes):
        empty(folder)
    seconds = time.monotonic() - started
    say(f"kept cluster {home.name} taken again, back at its baseline in {seconds:.1f} s")
    return replace(cluster, stages={"kept cluster cleaned": seconds})


def unfit(record: Record, order: Order, bed: Bed) -> str:
    """Why a kept cluster is not the one that is wanted; empty where it is."""
    if not record.whole:
        return "its creation was cut short"
    if record.recipe != recipe_of(order, bed):
        return "images, node image or configuration have changed since"
    if order.gateway_port not in (0, record.gateway_port):
        return f"its front door is port {record.gateway_port}, wanted is {order.gateway_port}"
    return ""


def unclean(cluster: Cluster, record: Record, deadlines: Deadlines, heal: Heal) -> str:
    """Bring a kept cluster back to its baseline; say why it can't be, or nothing."""
    try:
        heal(cluster)
        await_nodes(cluster, NODES, within=deadlines.pods)
        left = baseline.restore(cluster, record.baseline, within=deadlines.deletion)
        if left.beyond_repair:
            return f"objects of the baseline are missing or changed: {', '.join(left.beyond_repair[:5])}"
        await_system_pods(cluster, within=deadlines.pods)
    except (Failed, ApiException, OSError) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - urllib3's own errors share no base with the rest
        return f"{type(error).__name__}: {error}"
    return ""


def create(home: Home, order: Order, bed: Bed, deadlines: Deadlines) -> Cluster:
    """Make a cluster from nothing; raises UnusableEnvironment with kind's own words when it can't be made."""
    port = ports.choose(order.gateway_port)
    record = Record(home.name, order.clock, recipe_of(order, bed), order.keep, port)
    home.write(record)
    stages: dict[str, float] = {}
    for folder in (home.store, home.volumes):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # the import Job and Prometheus write here, each under a user of its own
    with timed(stages, "images laid out"):
        stores = bed.node_stores(home.name, NODES)
    config = home.folder / "kind.yaml"
    config.write_text(kind_config(order.clock, port, home.store, home.volumes, stores))
    with timed(stages, "kind create"):
        run_kind(home, bed, config)
    cluster = cluster_of(home, record, bed)
    with timed(stages, "nodes Ready"):
        await_nodes(cluster, NODES, within=deadlines.cluster)
    with timed(stages, "cluster DNS without an upstream"):
        cut_upstream(cluster)
        await_system_pods(cluster, within=deadlines.cluster)
    if bed.seed is None:
        with timed(stages, "images loaded"):
            load(home.name, bed)
    home.complete(baseline.inventory(cluster))
    return replace(cluster, stages=stages)


def run_kind(home: Home, bed: Bed, config: Path) -> None:
    """`kind create cluster` through pytest-kind, its output kept in the cluster's folder."""
    log = home.folder / "kind.log"
    kind = KindCluster(home.name, home.kubeconfig, bed.node_image, bed.kind, bed.kubectl)
    try:
        with output_to(log):
            kind.create(config)
    except subprocess.CalledProcessError as error:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise UnusableEnvironment(f"kind create cluster failed ({error.returncode}); it said:\n{tail}") from error


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """What this process and its children print goes to a file for a while (pytest-kind lets kind print)."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        yield
    finally:
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (target, *saved):
            os.close(descriptor)


def cluster_of(home: Home, record: Record, bed: Bed) -> Cluster:
    """The cluster of a home, by its own kubeconfig."""
    return Cluster(
        name=home.name,
        provider=Provider.KIND,
        kubeconfig=home.kubeconfig,
        context=f"kind-{home.name}",
        kubectl_bin=bed.kubectl,
        owned=True,
        gateway_port=record.gateway_port,
        store=home.store,
    )


def load(name: str, bed: Bed) -> None:
    """Hand images of the Docker engine to all nodes."""
    command = [str(bed.kind), "load", "docker-image", f"--name={name}", *bed.images]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnusableEnvironment(f"kind load docker-image failed: {done.stderr.strip()[-500:]}")


def destroy(home: Home, bed: Bed) -> None:
    """Delete the cluster's nodes, and what is on disk once they are gone."""
    end_orphans(home.name, bed.kind)
    command = [str(bed.kind), "delete", "cluster", f"--name={home.name}", f"--kubeconfig={home.kubeconfig}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"kind delete cluster {home.name} failed, its folder stays: {done.stderr.strip()[-300:]}")
        return
    bed.remove_stores(home.name)
    home.remove()


def end_orphans(name: str, kind: Path) -> None:
    """End a `kind create` of this cluster that outlived its run, before it makes nodes that nobody knows of."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[:3] == [str(kind), "create", "cluster"] and f"--name={name}" in command:
            process.kill()
            process.wait(10)


def empty(folder: Path) -> None:
    """Take everything out of a folder; the folder itself stays mounted."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
