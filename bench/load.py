"""`make bench-load`: what the load generator reaches against a null server, beside hey on the same machine.

Everything shares the machine's cores: generator, null server, and whatever else runs. Rates are requests a second with
one digit each, answers checked, over kept connections on 127.0.0.1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from airgap.debian_program import program
from locustfiles.open_model import Record
from models.build import bundle
from models.golden import TOLERANCE, Golden
from shakedown.ledger import Ledger, now
from shakedown.load import Load, Protocol
from shakedown.oracle import Oracle
from shakedown.serving import Endpoint
from shakedown.shapes import steady, step
from shakedown.window import LATE_S, Window

ROOT = Path(__file__).resolve().parents[1]
HEY = "0.1.4-2+b4"  # of Debian 12
RATES = (200, 400, 600, 800, 1000, 1250, 1500, 1750, 2000, 2500, 3000)
STEP_S = 4.0
SETTLE_S = 1.0  # of each step: what the step before left behind is not its own
HALF_S = 20.0
CLIENTS = 64
LINES = 50_000
LINES_A_WRITE = 200  # what a rate of 1000 collects until the next write


@dataclass(frozen=True)
class Found:
    """One measurement: rates in requests a second, times in milliseconds, CPU in microseconds a request."""

    hey_per_s: float
    reached_per_s: float
    half_rate_per_s: float
    half_late_p50_ms: float
    half_late_p99_ms: float
    half_late_max_ms: float
    half_latency_p99_ms: float
    generator_cpu_us: float
    ledger_us: float

    @property
    def ledger_share(self) -> float:
        """The ledger's part of what a request costs the generator."""
        return self.ledger_us / self.generator_cpu_us


@contextmanager
def null_server(answer: str) -> Iterator[int]:
    """A null server in a process of its own; its port."""
    command = [sys.executable, "-m", "bench.null_server", answer]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - Popen was asked for a pipe
            yield int(process.stdout.readline())
        finally:
            process.kill()


def hey(port: int, body: bytes, folder: Path) -> float:
    """Requests a second that hey completes in five seconds."""
    (folder / "body").write_bytes(body)
    tool = str(program("hey", package="hey", version=HEY))
    options = ["-z", "5s", "-c", str(CLIENTS), "-m", "POST", "-D", str(folder / "body"), "-T", "application/json"]
    command = [tool, *options, f"http://127.0.0.1:{port}/v1/models/digits:predict"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(next(line.split()[1] for line in said.splitlines() if "Requests/sec" in line))


def reached(load: Load, protocol: Protocol) -> Window:
    """The window of the highest rate that is held: nothing failed, 99 % sent within a tenth of a second."""
    held: Window | None = None
    with load.running(step(RATES, STEP_S), protocol) as traffic:
        for turn in range(len(RATES)):
            begin = traffic.began + turn * STEP_S
            window = traffic.window(begin + SETTLE_S, begin + STEP_S)
            if window.failed or window.lateness > LATE_S:
                break
            held = window
    if held is None:
        raise SystemExit(f"not even {RATES[0]} requests a second are held: {window}")
    return held


def ledger_us(folder: Path) -> float:
    """CPU of one request's line in the ledger, in microseconds."""
    record = Record(os.open(folder / "lines.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
    fields = {"protocol": "rest", "seconds": 0.0123456, "code": 200, "version": 2, "right": True, "said": ""}
    started = time.process_time()
    for number in range(LINES):
        record.add("request", now(), flow="steady 1000/s rest #1", scheduled=now(), **fields)
        if number % LINES_A_WRITE == 0:
            record.flush()
    record.flush()
    return (time.process_time() - started) / LINES * 1e6


def measure(folder: Path) -> Found:
    """All measurements, one after another."""
    golden = Golden.load(bundle())
    oracle = Oracle(golden.images[:1], {v: k.probabilities[:1] for v, k in golden.versions.items()}, TOLERANCE)
    answer = json.dumps({"predictions": oracle.answers[max(oracle.answers)].tolist()})
    with null_server(answer) as port:
        ledger = Ledger(folder / "ledger.jsonl")
        load = Load(Endpoint("null", f"http://127.0.0.1:{port}", f"127.0.0.1:{port}"), "digits", oracle, ledger)
        beside = hey(port, load.body("rest", 0, 1), folder)
        best = reached(load, "rest")
        half = best.rate / 2
        with load.running(steady(half, HALF_S)) as traffic:
            window = traffic.finish()
    window.assert_none_failed()
    window.assert_none_wrong()
    late = np.array([each.lateness for each in window.requests]) * 1e3
    return Found(
        hey_per_s=beside,
        reached_per_s=best.rate,
        half_rate_per_s=half,
        half_late_p50_ms=float(np.median(late)),
        half_late_p99_ms=float(np.quantile(late, 0.99)),
        half_late_max_ms=float(late.max()),
        half_latency_p99_ms=window.quantile(0.99) * 1e3,
        generator_cpu_us=window.cpu / window.rate * 1e6,
        ledger_us=ledger_us(folder),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=main.__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        found = measure(Path(folder))
    if options.json:
        print(json.dumps({**asdict(found), "ledger_share": found.ledger_share}, indent=2))
        return
    print(f"hey, {CLIENTS} clients, answers unchecked: {found.hey_per_s:.0f}/s")
    print(f"generator, open model, answers checked: {found.reached_per_s:.0f}/s held")
    print(
        f"at half of that ({found.half_rate_per_s:.0f}/s): sent late by {found.half_late_p50_ms:.2f} ms (median),"
        f" {found.half_late_p99_ms:.2f} ms (p99), {found.half_late_max_ms:.1f} ms (most);"
        f" p99 latency {found.half_latency_p99_ms:.1f} ms"
    )
    print(
        f"a request costs the generator {found.generator_cpu_us:.0f} us of CPU,"
        f" {found.ledger_us:.1f} us of it ({found.ledger_share:.1%}) its line in the ledger"
    )


if __name__ == "__main__":
    main()
