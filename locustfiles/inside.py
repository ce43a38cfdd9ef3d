"""One load generator away from the run: it reads its order, tells its clock, and lives as long as its standard input.

What it is told comes in by standard input, the lines of its ledger go out by standard output, words by standard error.
Nothing but the standard library is imported here: the clock is told before locust makes the pod busy.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from shakedown.generators import GRACE_S, locust
from shakedown.ledger import now
from shakedown.orders import ASK, MOMENT, CutShort, unframed, whole

STDIN, STDOUT = 0, 1
MORTAL = ("setpriv", "--pdeathsig", "KILL")  # it doesn't outlive this program, which alone knows when to end it
SIGNALLED = 128  # what a shell adds to the signal that ended a program


def main() -> int:
    """Serve one order; locust's exit code."""
    with tempfile.TemporaryDirectory(prefix="load-") as name, os.fdopen(os.dup(STDOUT), "wb") as out:
        folder, (reading, writing) = Path(name), os.pipe()
        fields: dict[str, Any] = json.loads(unframed(STDIN))
        (folder / "bodies.npz").write_bytes(unframed(STDIN))
        (folder / "order.json").write_text(json.dumps({**fields, "alive": reading, "ledger": out.fileno()}))
        while whole(STDIN, 1) == ASK:
            os.write(STDOUT, MOMENT.pack(now()))
        process = locust(folder, (*role(fields), fields["user"]), (reading, out.fileno()), within=MORTAL)
        os.close(reading)
        threading.Thread(target=relay, args=(process, writing, fields), daemon=True).start()
        code = process.wait()
    return code if code >= 0 else SIGNALLED - code


def role(fields: dict[str, Any]) -> tuple[str, ...]:
    """What locust is told of its part: the master, or a worker of one."""
    if fields["master"]:
        return ("--worker", f"--master-host={fields['master']}", f"--master-port={fields['port']}")
    count = fields["workers"]
    amount = (f"--expect-workers={count}", f"--users={count}", f"--spawn-rate={count}")
    return ("--master", f"--master-bind-port={fields['port']}", "--headless", *amount)


def relay(process: "subprocess.Popen[bytes]", writing: int, fields: dict[str, Any]) -> None:
    """Pass on when to begin; once standard input is closed, ask locust to stop, and end it where it doesn't."""
    try:
        while True:
            os.write(writing, whole(STDIN, MOMENT.size))
    except CutShort:
        os.close(writing)
    if not fields["master"]:
        process.terminate()  # it sends nothing, and knows of no pipe
    try:
        process.wait(timeout=fields["patience"] + GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(main())
