"""`python -m shakedown.faults CACHE`: undo what dead runs left in clusters of this machine (`make restore`)."""

import argparse
import sys
from pathlib import Path

from shakedown.cluster.registry import Home, homes
from shakedown.faults.journal import FOLDER, read, restore
from shakedown.progress import plain, say


def restore_all(root: Path) -> tuple[int, int]:
    """Undo what is left below one folder of homes: how many faults, and how many homes where that was not possible.

    Clusters of living runs are let be.
    """
    undone = failed = 0
    for home in homes(root):
        try:
            undone += restore_home(home)
        except Exception as error:  # noqa: BLE001 - a cluster that is dead keeps nobody from the others
            said = plain(f"{type(error).__name__}: {error}")
            say(f"{home.name}: not undone: {said}; is its cluster gone? airgap clean --cluster {home.name}")
            failed += 1
    return undone, failed


def restore_home(home: Home) -> int:
    """Undo what is left of one cluster; how many faults that were. Raises whatever its cluster or journal says."""
    left = [read(file) for file in (home.folder / FOLDER).glob("*.json")]
    if not left:
        return 0
    if not home.claim():
        say(f"{home.name}: a living run has it, its faults are let be")
        return 0
    try:
        restored = list(restore(left[0].whereabouts.cluster(), home.folder / FOLDER, left[0].namespace))
        for entry in restored:
            say(f"{home.name}: {entry.fault} of {entry.target} undone")
    finally:
        home.release()
    return len(restored)


def main() -> int:
    """Undo it all, and say how much that was; 1 where something could not be undone."""
    parser = argparse.ArgumentParser(prog="python -m shakedown.faults", description=__doc__)
    parser.add_argument("cache", type=Path, help="the folder that holds the clusters' homes")
    root = parser.parse_args().cache
    undone, failed = map(sum, zip(*(restore_all(root / kind) for kind in ("clusters", "existing")), strict=True))
    if undone or not failed:
        say(f"{undone} faults undone" if undone else "no fault was left")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
