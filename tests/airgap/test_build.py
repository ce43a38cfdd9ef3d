"""Steps, commands and folders of a build."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap import __main__, bed, cache, seed, tidy
from airgap.cache import BuildError
from airgap.run import run


def test_a_failed_command_says_what_was_tried_and_ends_with_its_last_words() -> None:
    with pytest.raises(BuildError, match=r"counting failed \(exit 3\):\n    four\n    five"):
        run(["sh", "-c", "echo four >&2; echo five >&2; exit 3"], what="counting")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(BuildError, match="counting: the program no-such-program is missing"):
        run(["no-such-program"], what="counting")


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(BuildError, match="no end after 1 s"):
        run(["sh", "-c", f"sleep 30 & echo $! > {tmp_path}/pid; wait"], what="waiting", timeout_s=1)
    assert time.monotonic() - started < 20
    assert not alive(int((tmp_path / "pid").read_text()))


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_a_killed_build_takes_its_command_with_it(tmp_path: Path) -> None:
    build = f"from airgap.run import run; run(['sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 30'], what='waiting')"
    with subprocess.Popen([sys.executable, "-c", build]) as child:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
        child.kill()
        child.wait()
        until(lambda: not alive(pid))


def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if check():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


def test_a_nodes_store_shares_files_with_the_seed_but_not_its_databases(tmp_path: Path) -> None:
    kept = tmp_path / "seed"
    (kept / "content").mkdir(parents=True)
    (kept / "content" / "blob").write_text("immutable")
    (kept / "content" / "meta.db").write_text("written in place")
    first, second = seed.node_stores(kept, "c", 2)
    (first / "content" / "meta.db").write_text("changed")
    (first / "content" / "blob").unlink()
    assert (second / "content" / "meta.db").read_text() == "written in place"
    assert (kept / "content" / "meta.db").read_text() == "written in place"
    assert (second / "content" / "blob").samefile(kept / "content" / "blob")


def test_stores_of_a_cluster_that_died_are_replaced_and_removing_them_twice_is_fine(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    (store,) = seed.node_stores(tmp_path / "seed", "c", 1)
    (store / "left").touch()
    (again,) = seed.node_stores(tmp_path / "seed", "c", 1)
    assert not (again / "left").exists()
    seed.remove_stores("c")
    seed.remove_stores("c")
    assert not again.exists()


def test_a_new_seed_starts_from_the_one_that_has_most_of_it() -> None:
    for number, text in enumerate(['{"a": "1"}', '{"a": "1", "b": "2"}', '{"c": "9"}']):
        folder = cache.root() / f"seed-00000000000{number}"
        folder.mkdir()
        (folder / seed.CONTENTS).write_text(text)
    assert seed.closest({"a": "1", "b": "2", "c": "3"}) == cache.root() / "seed-000000000001"
    assert seed.closest({"z": "1"}) is None


def test_an_empty_cache_is_not_ready() -> None:
    assert "not in the cache" in bed.missing([])
    assert __main__.main(["ready"]) == 1


def test_a_failed_command_line_says_why_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    assert __main__.main(["engine"]) == 1
    said = capsys.readouterr().err
    assert "shakedown: error: no Docker engine at DOCKER_HOST=unix:///nowhere" in said
    assert "Traceback" not in said


def test_hard_links_count_once_in_the_list_of_sizes() -> None:
    one, two = (cache.artefact("thing", {"number": number}, write_block) for number in (1, 2))
    (two / "block").unlink()
    os.link(one / "block", two / "block")
    sizes = tidy.sizes()
    assert sizes[one] + sizes[two] == 4096


def write_block(folder: Path) -> None:
    (folder / "block").write_bytes(b"x" * 4096)


def test_clean_keeps_of_each_name_what_was_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.engine.answering", lambda: None)
    old, new = (cache.artefact("thing", {"number": number}, write_block) for number in (1, 2))
    os.utime(old, (1, 1))
    assert tidy.clean(everything=False) == 0
    assert (old.exists(), new.exists()) == (False, True)
