import os
import subprocess
import sys
from pathlib import Path

import pytest

from airgap import engine, host
from airgap.cache import BuildError


def test_an_engine_is_taken_for_ours_only_if_its_command_line_says_so() -> None:
    engine.pid_file().write_text(str(os.getpid()))  # a live process, but no engine
    assert engine.running() is None


def test_a_process_that_names_our_pid_file_is_the_engine_and_is_ended_by_stop() -> None:
    program = "import time; print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program, "--pidfile", str(engine.pid_file())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stand_in:
        assert stand_in.stdout
        stand_in.stdout.readline()  # only a process that runs has the command line of its own that is looked for
        engine.pid_file().write_text(str(stand_in.pid))
        assert engine.running() == stand_in.pid
        engine.stop()
        assert stand_in.wait(5) != 0


@pytest.mark.parametrize("text", ["", "no number", "999999999"])
def test_a_stale_pid_file_is_no_engine(text: str) -> None:
    engine.pid_file().write_text(text)
    assert engine.running() is None


def test_runc_is_wrapped_only_where_the_host_withholds_the_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "granted", lambda _capability: True)
    assert "runtimes" not in engine.configuration()
    monkeypatch.setattr(engine, "granted", lambda _capability: False)
    assert engine.configuration()["default-runtime"] == "bounded"
    assert os.access(engine.BOUNDED, os.X_OK)


def test_the_wrapper_takes_the_capability_out_of_what_runc_reads(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE","CAP_KILL"]}')
    runc = tmp_path / "bin" / "runc"
    runc.parent.mkdir()
    runc.write_text("#!/bin/sh\necho ran $@\n")
    runc.chmod(0o755)
    done = subprocess.run(
        [engine.BOUNDED, "create", "--bundle", tmp_path, "name"],
        env={"PATH": f"{runc.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert config.read_text() == '{"bounding":["CAP_CHOWN"],"effective":["CAP_KILL"]}'
    assert done.stdout == f"ran create --bundle {tmp_path} name\n"


def test_no_engine_and_not_root_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    with pytest.raises(BuildError, match="DOCKER_HOST=unix:///nowhere"):
        engine.ensure()
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr(engine, "ask", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match=r"no Docker engine answers \(is it running\?\), and starting one needs root"):
        engine.ensure()


def refuse() -> str:
    raise BuildError("asking the Docker engine failed (exit 1):\n    is it running?")


def test_too_little_disk_says_what_is_needed_and_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"the build needs 1000000 GiB free in .*, there are [0-9.]+ GiB"):
        host.require_disk(tmp_path, 1e6, "the build")


def test_a_package_without_apt_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BuildError, match="needs the Debian packages nothing-like-it"):
        host.require_programs({"no-such-program-here": "nothing-like-it"})
