"""`python -m shakedown.faults CACHE`: undo what dead runs left in clusters of this machine (`make restore`)."""

import argparse
from pathlib import Path

from shakedown.cluster.registry import homes
from shakedown.faults.journal import FOLDER, read, restore
from shakedown.progress import say


def restore_all(root: Path) -> int:
    """Undo what is left below one folder of homes; how many faults that were. Clusters of living runs are let be."""
    undone = 0
    for home in homes(root):
        left = [read(file) for file in (home.folder / FOLDER).glob("*.json")]
        if left and not home.claim():
            say(f"{home.name}: a living run has it, its faults are let be")
        elif left:
            cluster = left[0].whereabouts.cluster()
            for entry in restore(cluster, home.folder / FOLDER, left[0].namespace):
                say(f"{home.name}: {entry.fault} of {entry.target} undone")
                undone += 1
            home.release()
    return undone


def main() -> None:
    """Undo it all, and say how much that was."""
    parser = argparse.ArgumentParser(prog="python -m shakedown.faults", description=__doc__)
    parser.add_argument("cache", type=Path, help="the folder that holds the clusters' homes")
    root = parser.parse_args().cache
    undone = sum(restore_all(root / kind) for kind in ("clusters", "existing"))
    say(f"{undone} faults undone" if undone else "no fault was left")


if __name__ == "__main__":
    main()
