"""Runs that never were: a verdict and a ledger with every kind of event, made for the report's tests."""

import json
from pathlib import Path
from typing import Any

from shakedown.report.bundle import Verdict, count
from shakedown.verdict import Outcome, Promise

START = 5000.0  # on the ledger's clock
NODE = "suites/recovery/test_node.py::test_node_is_survived"
SHARE = "suites/canary/test_share.py::test_canary_gets_its_share"
PLAIN = "suites/static/test_rules.py::test_rule_holds[Deployment x]"


def promise(test: str, outcome: Outcome = Outcome.PASSED, reason: str = "", seconds: float = 60.0) -> Promise:
    suite, name = test.split("/")[1], test.partition("::")[2].partition("[")[0]
    seen = ("saw 3 <of> 3",) if outcome is Outcome.PASSED else ()
    claim = name.removeprefix("test_").replace("_", " ")
    return Promise(test, suite, claim, "What holds.", outcome, seen, reason, seconds)


PROMISES = [
    promise(PLAIN, seconds=0.4),
    promise(NODE, Outcome.FAILED, "37 of 400 predictions failed; see retry.yaml"),
    promise(SHARE, Outcome.INCONCLUSIVE, "only 211 answers"),
]


def verdict(run: str, promises: list[Promise], exit_code: int = 1) -> Verdict:
    return Verdict.model_validate(
        {
            "run": run,
            "started": "2026-11-22T23:21:55Z",
            "seconds": 120.0,
            "profile": "acceptance",
            "clock": "fast",
            "cluster": {"name": "dev-fast", "provider": "kind", "owned": True},
            "exit_code": exit_code,
            "counts": count(promises),
            "stages": {"kind create": 29.3},
            "promises": promises,
        }
    )


def events(requests: int = 400) -> list[dict[str, Any]]:
    """Two minutes: a node is stopped from 20 s to 60 s, and the first ten seconds of that fail."""
    told: list[dict[str, Any]] = [{"at": START, "kind": "ledger", "epoch": 1795380000.0}]

    def tell(at: float, kind: str, **fields: object) -> None:
        told.append({"at": START + at, "kind": kind, **fields})

    tell(0, "promise", test=NODE, seconds=60.0)
    tell(60, "promise", test=SHARE, seconds=60.0)
    for i in range(requests):
        at = 120 * i / requests
        code = 503 if 20 <= at < 30 else 200
        tell(at, "request", seconds=0.01, code=code, version=2 + (at > 60), right=at < 100, said="", protocol="rest")
    for step, at in (("injected", 20), ("proven", 22), ("restored", 60)):
        tell(at, "fault", name="stop_node", target="worker2", step=step, said=step)
    stages = {"noticed": 2.5, "out": 2.5, "replaced": 31.0, "whole": 35.0}
    cost = {"sent": 3200, "lost": 37, "wrong": 0}
    tell(61, "fault", name="stop_node", target="worker2", step="recovered", said="", began=START + 20, **stages, **cost)
    for at, ready in ((0, 3), (21, 2), (55, 3)):
        tell(at, "replicas", wanted=3, ready=ready, updated=ready, desired=3)
    for state, at in (("pending", 25), ("firing", 35), ("delivered", 38), ("resolved", 70)):
        tell(at, "alert", alertname="ReplicasMissing", state=state, labels={})
    tell(5, "mark", name="steady")
    tell(40, "stage", flow="kill to alert", name="for", floor=10.0, ceiling=12.0, seconds=13.5)
    return told


def lay(reports: Path, run: str = "20261123-000000-2", *, promises: list[Promise] | None = None) -> Path:
    """A run's folder with all that a report is made of."""
    folder = reports / run
    (folder / "diagnostics" / "test_node_is_survived").mkdir(parents=True)
    log = "\n".join(f"{i}s Warning NodeNotReady" for i in range(100))
    (folder / "diagnostics" / "test_node_is_survived" / "model-serving.events.txt").write_text(log)
    judged = verdict(run, promises or PROMISES)
    (folder / "verdict.json").write_text(judged.model_dump_json())
    write_ledger(folder, events())
    return folder


def write_ledger(folder: Path, told: list[dict[str, Any]]) -> None:
    (folder / "ledger.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))
