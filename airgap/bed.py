"""What a cluster is made of: programs, node image, and the images that its nodes have from the start."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

from airgap import cache, engine, golang, host, images, node, programs, registry, seed
from airgap.progress import say

Mode = Literal["auto", "airgap", "registry"]
COLD_GIB = 25.0  # measured: Go's caches 8, artefacts 10, engine 2; the rest is room for parts and clusters
WARM_GIB = 5.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class TestBed:
    """The parts of a cluster, all of them present."""

    __test__ = False  # for pytest: not a test

    mode: Literal["airgap", "registry"]
    reason: str  # why this mode, in one clause
    kind: Path
    kubectl: Path
    node_image: str
    images: tuple[str, ...]  # the full names that were asked for
    seed: Path | None  # None in registry mode: the engine has the images, `kind load` gives them to the nodes
    stage_seconds: Mapping[str, float]

    def node_stores(self, cluster: str, nodes: int) -> list[Path]:
        """One folder per node of a new cluster, each to be mounted at /var/lib/containerd; none in registry mode.

        Stores that a cluster of this name left behind are replaced. Raises BuildError.
        """
        return seed.node_stores(self.seed, cluster, nodes) if self.seed else []

    def remove_stores(self, cluster: str) -> None:
        """Remove what node_stores made, after the cluster is gone."""
        seed.remove_stores(cluster)


def ensure(mode: Mode, names: Iterable[str]) -> TestBed:
    """The test bed with the images of these full names, built or pulled where parts are missing.

    `auto` asks the engine whether a registry answers, once and for seconds. Raises BuildError.
    """
    names = tuple(dict.fromkeys(names))
    clock = Clock()
    clock.measure("engine", engine.ensure)
    decided, reason = clock.measure("mode", lambda: decide(mode))
    say(f"images: {decided}, {reason}")
    return airgapped(names, reason, clock) if decided == "airgap" else pulled(names, reason, clock)


def decide(mode: Mode) -> tuple[Literal["airgap", "registry"], str]:
    """The mode, and why."""
    if mode != "auto":
        return mode, "as asked for"
    refused = registry.refusal()
    if refused:
        return "airgap", f"because the engine can't pull images ({refused})"
    return "registry", "because the engine can pull images"


def airgapped(names: tuple[str, ...], reason: str, clock: "Clock") -> TestBed:
    """Everything from package registries."""
    host.require_architecture()
    host.require_root("building and sharing images offline")
    host.allow_clusters()
    host.require_disk(cache.root(), WARM_GIB if any(cache.root().glob("seed-*")) else COLD_GIB, "building the images")
    system = [recipe.name for recipe in images.SYSTEM]
    kubernetes = clock.measure("kubernetes", lambda: golang.build_program(programs.KUBERNETES))
    kind = clock.measure("kind", lambda: golang.build_program(programs.KIND))
    built = clock.measure("images", lambda: images.ensure([*system, *names]))
    node_image = clock.measure("node image", node.ensure)
    store = clock.measure("seed", lambda: seed.ensure(node_image, built))
    return TestBed(
        "airgap", reason, kind / "kind", kubernetes / "kubectl", node_image, names, store, clock.stage_seconds()
    )


def missing(names: Iterable[str]) -> str:
    """What the offline build still lacks, in a clause; empty when all of it is in the cache."""
    try:
        with cache.nothing_built():
            golang.build_program(programs.KIND)
            built = images.ensure([*(recipe.name for recipe in images.SYSTEM), *names])
            seed.ensure(node.build().name, built)
    except cache.NotBuiltError as lacking:
        return str(lacking)
    return ""


def pulled(names: tuple[str, ...], reason: str, clock: "Clock") -> TestBed:
    """Upstream's images; kind and kubectl still come from Go modules, which pin them."""
    kind = clock.measure("kind", lambda: golang.build_program(programs.KIND))
    kubectl = clock.measure("kubectl", lambda: golang.build_program(programs.KUBECTL))
    images_ = clock.measure("pulling", lambda: registry.ensure(names))
    return TestBed(
        "registry",
        reason,
        kind / "kind",
        kubectl / "kubectl",
        registry.NODE_IMAGE,
        images_,
        None,
        clock.stage_seconds(),
    )


class Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def measure(self, stage: str, work: Callable[[], Result]) -> Result:
        """Do the work, and note under the stage's name how long it took."""
        started = time.monotonic()
        result = work()
        self._seconds[stage] = round(time.monotonic() - started, 2)
        return result

    def stage_seconds(self) -> Mapping[str, float]:
        """Stage to seconds, in the order in which they ran."""
        return MappingProxyType(dict(self._seconds))
