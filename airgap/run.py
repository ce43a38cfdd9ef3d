"""Child processes of a build: output kept for the error message, the whole process group ended on interruption."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from airgap.cache import BuildError

TAIL_LINES = 15


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    timeout_s: float | None = None,
) -> str:
    """Run to the end and return standard output.

    Raises BuildError, with `what` was tried and the output's last lines, when it fails, takes longer than
    `timeout_s`, or can't be started. `env` adds to the environment. Whatever interrupts the wait ends the whole group.
    """
    if not shutil.which(command[0]):
        raise BuildError(f"{what}: the program {command[0]} is missing")
    try:
        child = subprocess.Popen(
            [*mortal(), *(str(part) for part in command)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError(f"{what}: {error}") from error
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{what}: no end after {timeout_s:.0f} s: {' '.join(map(str, command))}") from error
    finally:
        end_group(child)
    if child.returncode:
        raise BuildError(f"{what} failed (exit {child.returncode}):\n{tail(err or out)}")
    return out


def mortal() -> list[str]:
    """A prefix that ends a child when this process is killed outright and can't do it itself."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def end_group(child: subprocess.Popen[Any]) -> None:
    """End the child and its children, if the child still runs."""
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of an output, indented."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-lines:]) or "    (no output)"
