"""A run that injects one fault and stops for ever at one of its steps, to be killed there.

`python runner.py WHEREABOUTS FOLDER STEP SECONDS`: the cluster as JSON, the journal's folder, and the fault's limit.
"""

import sys
import time
from pathlib import Path

from shakedown.faults.guard import Limits
from shakedown.faults.inject import Faults
from shakedown.faults.journal import Journal, Whereabouts
from shakedown.faults.store import FileCutShort
from shakedown.ledger import Event, Ledger


class Stopping(Ledger):
    """Says that a step is reached, and goes no further."""

    def record(self, kind: str, /, *, at: float | None = None, **fields: object) -> Event:
        event = super().record(kind, at=at, **fields)
        if fields.get("step") == sys.argv[3]:
            print("here", flush=True)
            time.sleep(60)
        return event


def main() -> None:
    cluster = Whereabouts.model_validate_json(sys.argv[1]).cluster()
    folder = Path(sys.argv[2])
    journal = Journal(cluster, folder, "model-serving")
    faults = Faults(cluster, journal, Stopping(folder.parent / "ledger"), Limits(2, 0.5), float(sys.argv[4]), 5)
    with faults.inject(FileCutShort(cluster, "model-serving", "digits/2/saved_model.pb")):
        pass


if __name__ == "__main__":
    main()
