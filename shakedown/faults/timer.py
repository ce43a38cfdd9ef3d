"""`python -m shakedown.faults.timer FILE`: undoes the fault of a journal's file once its time is over.

It runs on the host, detached from the run, so that it outlives it. A Job in the cluster would need an account that may
undo anything, an image that can, and a place to run in the very cluster that is disturbed; this needs only what the run
had. The loss of the host is left: for that the journal is in the cluster too, and the next start reads it.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).parents[2]
LOOK_S = 1.0


def start(file: Path) -> None:
    """Start the timer of one entry, which ends soon after the entry is gone; raises where it doesn't start."""
    command = [sys.executable, "-m", "shakedown.faults.timer", str(file)]
    with (file.parent / "timer.log").open("a") as log:
        subprocess.run(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)


def wait(file: Path) -> bool:
    """Wait until the entry is gone (False) or its time is over (True)."""
    deadline = float(json.loads(file.read_text())["deadline"])
    while time.time() < deadline:
        if not file.exists():
            return False
        time.sleep(min(LOOK_S, max(0.0, deadline - time.time())))
    return file.exists()


def expire(file: Path) -> None:
    """Undo the entry."""
    from shakedown.faults.journal import Journal, read  # noqa: PLC0415 # a second of CPU that nearly no timer needs

    entry = read(file)
    print(f"{entry.id}: time is over, undoing {entry.fault} of {entry.target}", flush=True)
    Journal(entry.whereabouts.cluster(), file.parent, entry.namespace).undo(entry)


def main(file: Path) -> None:
    """Leave the run behind, wait, then undo unless somebody has."""
    if os.fork():
        return
    os.setsid()
    try:
        if wait(file):
            expire(file)
    except FileNotFoundError:
        return  # struck off between two looks


if __name__ == "__main__":
    main(Path(sys.argv[1]))
