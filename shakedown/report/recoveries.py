"""How long each kind of fault took to be recovered from, and what it cost, beside the run before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from shakedown.report.story import Story

STAGES = ("noticed", "out", "replaced", "whole")
MARK = b'"recovered"'  # in the lines of a ledger that are worth being parsed


@dataclass(frozen=True)
class Recovery:
    """One kind of fault over a run, which may have had it several times.

    `seconds` holds the median of each of STAGES, None for one that never came (a server that is cut off need not be
    replaced); `lost` and `wrong` of `sent` predictions came to nothing. `before` is the same of an earlier run.
    """

    fault: str
    times: int
    seconds: Mapping[str, float | None]
    sent: int
    lost: int
    wrong: int
    before: "Recovery | None" = None


def recoveries(story: Story, earlier: Path | None) -> list[Recovery]:
    """Each kind of fault in the order in which they came; `earlier` is the ledger to compare with."""
    then = {each.fault: each for each in summed(of_ledger(earlier))} if earlier else {}
    now = summed(event.fields for event in story.of("fault") if event.fields["step"] == "recovered")
    return [Recovery(**{**vars(each), "before": then.get(each.fault)}) for each in now]


def of_ledger(ledger: Path) -> list[dict[str, Any]]:
    """The recoveries of a ledger, of which hardly a line tells; none where it can't be read."""
    try:
        lines = ledger.read_bytes().splitlines()
    except OSError:
        return []
    found = [orjson.loads(line) for line in lines if MARK in line and line.endswith(b"}")]
    return [each for each in found if each["kind"] == "fault" and each["step"] == "recovered"]


def summed(told: Iterable[Mapping[str, Any]]) -> list[Recovery]:
    """One for each kind of fault."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for each in told:
        kinds.setdefault(str(each["name"]), []).append(each)
    return [
        Recovery(
            fault=name,
            times=len(found),
            seconds={stage: middle([each.get(stage) for each in found]) for stage in STAGES},
            sent=sum(each["sent"] for each in found),
            lost=sum(each["lost"] for each in found),
            wrong=sum(each["wrong"] for each in found),
        )
        for name, found in kinds.items()
    ]


def middle(values: Sequence[float | None]) -> float | None:
    """The median of those that are there."""
    there = [value for value in values if value is not None]
    return median(there) if there else None
