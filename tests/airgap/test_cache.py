import multiprocessing
import os
from pathlib import Path

import pytest

from airgap import cache


def write_once(folder: Path) -> None:
    (folder / "result").write_text("made")


def test_an_artefact_is_built_once_and_found_by_its_recipe() -> None:
    calls: list[Path] = []

    def build(folder: Path) -> None:
        calls.append(folder)
        write_once(folder)

    first = cache.artefact("thing", {"version": 1}, build)
    again = cache.artefact("thing", {"version": 1}, build)
    other = cache.artefact("thing", {"version": 2}, build)

    assert first == again
    assert first != other
    assert len(calls) == 2
    assert (first / "result").read_text() == "made"


def test_a_failed_build_leaves_nothing_and_is_tried_anew(private_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        cache.artefact("thing", {}, fail)
    assert [p.name for p in private_cache.iterdir() if not p.name.endswith(".lock")] == []
    assert (cache.artefact("thing", {}, write_once) / "result").exists()


def build_and_die(cache_dir: str) -> None:
    os.environ["SHAKEDOWN_CACHE"] = cache_dir

    def die(folder: Path) -> None:
        (folder / "half").write_text("half")
        os._exit(9)

    cache.artefact("thing", {}, die)


def test_a_killed_build_leaves_no_half_artefact(private_cache: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=build_and_die, args=(str(private_cache),))
    child.start()
    child.join(30)
    assert child.exitcode == 9

    built = cache.artefact("thing", {}, write_once)

    assert sorted(p.name for p in built.iterdir()) == ["result"]
    assert [p.name for p in private_cache.iterdir() if "part" in p.name] == []


def test_nothing_is_built_where_that_is_forbidden() -> None:
    with cache.nothing_built(), pytest.raises(cache.NotBuiltError, match="thing is not in the cache"):
        cache.artefact("thing", {}, write_once)
    assert (cache.artefact("thing", {}, write_once) / "result").read_text() == "made"


def test_of_each_name_the_artefact_used_last_comes_first() -> None:
    old, new = (cache.artefact("thing", {"version": version}, write_once) for version in (1, 2))
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    assert cache.artefacts() == {"thing": [new, old]}
    cache.artefact("thing", {"version": 1}, write_once)
    assert cache.artefacts() == {"thing": [old, new]}
