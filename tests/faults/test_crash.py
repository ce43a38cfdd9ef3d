"""A run that is killed at any step of a fault leaves nothing that the next start does not undo."""

import importlib
import pkgutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from fixtures import crash
from fixtures.crash import FAULTS, STEPS
from fixtures.crashing import run_until
from shakedown import faults
from shakedown.cluster import Cluster
from shakedown.faults.inject import Fault, Together
from shakedown.faults.journal import Journal, restore
from tests.faults.conftest import NAMESPACE, Api


def contents(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}


def kinds_with_an_undoing() -> Iterator[type]:
    """The classes of faults that something has to undo."""
    for module in pkgutil.iter_modules(faults.__path__):
        found = vars(importlib.import_module(f"{faults.__name__}.{module.name}")).values()
        yield from (each for each in found if isinstance(each, type) and isinstance(vars(each).get("undo"), property))


def kinds_of_the_matrix() -> Iterator[type]:
    """What the makers of the self-test's faults call: classes, or functions that give one back."""
    for make in FAULTS.values():
        for called in filter(callable, (getattr(crash, name, None) for name in make.__code__.co_names)):
            yield called if isinstance(called, type) else get_type_hints(called)["return"]


def test_the_self_test_kills_runs_of_every_kind_of_fault_that_has_something_to_undo() -> None:
    wanted = set(kinds_with_an_undoing()) - {Fault, Together}  # what all are like, and what undoes what its parts do
    assert len(wanted) > 10
    assert wanted <= set(kinds_of_the_matrix())


@pytest.mark.parametrize("step", STEPS)
def test_what_a_killed_run_left_is_undone_by_the_next_start(cluster: Cluster, api: Api, step: str) -> None:
    assert cluster.store is not None
    before, folder = contents(cluster.store), cluster.kubeconfig.parent / "faults"
    run_until(cluster, folder, "file", step)
    spoiled = contents(cluster.store) != before
    undone = restore(cluster, folder, NAMESPACE)
    assert contents(cluster.store) == before
    assert not api.annotations
    assert not Journal(cluster, folder, NAMESPACE).left()
    assert [entry.fault for entry in undone] == (["model-file-cut-short"] if step != "restored" else [])
    assert spoiled == (step in ("injected", "proven", "undoing"))


def test_the_cluster_alone_is_enough_to_undo_it(cluster: Cluster, api: Api) -> None:
    """The disk that the run wrote its journal to may be lost."""
    assert cluster.store is not None
    before, folder = contents(cluster.store), cluster.kubeconfig.parent / "faults"
    run_until(cluster, folder, "file", "proven")
    for file in folder.glob("*.json"):
        file.unlink()
    assert contents(cluster.store) != before
    assert [entry.fault for entry in restore(cluster, folder, NAMESPACE)] == ["model-file-cut-short"]
    assert contents(cluster.store) == before
    assert not api.annotations


def test_the_time_limit_outlives_the_run(cluster: Cluster, api: Api) -> None:
    assert cluster.store is not None
    before, folder = contents(cluster.store), cluster.kubeconfig.parent / "faults"
    run_until(cluster, folder, "file", "proven", seconds=3.0)
    assert contents(cluster.store) != before
    deadline = time.monotonic() + 30
    while list(folder.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert contents(cluster.store) == before, (folder / "timer.log").read_text()
    assert not api.annotations
