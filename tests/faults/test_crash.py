"""A run that is killed at any step of a fault leaves nothing that the next start does not undo."""

import time
from pathlib import Path

import pytest

from fixtures.crash import STEPS
from fixtures.crashing import run_until
from shakedown.cluster import Cluster
from shakedown.faults.journal import Journal, restore
from tests.faults.conftest import NAMESPACE, Api


def contents(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}


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
