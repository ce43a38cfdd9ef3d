import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from shakedown.lint.objects import Obj, Tree, dig, read_yaml, trees
from shakedown.lint.workload import Container, Workload
from shakedown.lint.world import World

CUSTOM, EXTERNAL = "custom.metrics.k8s.io", "external.metrics.k8s.io"


@dataclass(frozen=True, eq=False)
class Adapter:
    """A prometheus-adapter: the workload that runs it, its configuration and what it serves."""

    workload: Workload
    container: Container
    text: str | None

    @property
    def config(self) -> Tree:
        """The configuration; empty where it is missing or no YAML."""
        return read_yaml(self.text or "")

    def rules(self) -> Iterator[tuple[str, Tree]]:
        """API group and rule, each in turn."""
        for key, group in (("rules", CUSTOM), ("externalRules", EXTERNAL)):
            for each in trees(self.config.get(key)):
                yield group, each

    def served(self, group: str) -> set[str]:
        """The metric names that the rules of one API group make."""
        return {name for served, each in self.rules() if served == group for name in [metric_name(each)] if name}


def metric_name(each: Tree) -> str:
    """The name that a rule gives to its metric; a series' own name where it gives none."""
    series = re.match(r"[a-zA-Z_:][\w:]*", str(each.get("seriesQuery", "")))
    own = series[0] if series else ""
    pattern, given = str(dig(each, "name", "matches") or ""), str(dig(each, "name", "as") or "")
    if not given or "$" not in given:
        return given or own
    try:
        return re.sub(pattern or ".*", re.sub(r"\$\{?(\d+)\}?", r"\\\1", given), own, count=1)
    except re.error:
        return ""


@lru_cache(maxsize=2)
def adapters(world: World) -> list[Adapter]:
    """The prometheus-adapters, known by image or by the flags of their own."""
    found = []
    for workload in world.workloads.values():
        for container in workload.containers:
            flags = dict(_flags(container))
            if "prometheus-adapter" in container.image or "prometheus-url" in flags:
                text = world.file_in(workload, container, flags["config"]) if "config" in flags else None
                found.append(Adapter(workload, container, text))
    return found


def _flags(container: Container) -> Iterator[tuple[str, str]]:
    for word in container.command_line:
        given = re.fullmatch(r"--?([\w-]+)=(.*)", word)
        if given:
            yield given[1], given[2]


def adapter_objects(world: World) -> list[Obj]:
    """The objects that run an adapter."""
    return [a.workload.obj for a in adapters(world)]
