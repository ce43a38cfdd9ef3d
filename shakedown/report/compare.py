"""Two runs beside each other: which promises changed, and what got slower."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from shakedown.report.bundle import Verdict, load
from shakedown.verdict import Outcome, Promise

SLOWER = 1.5  # times as long, and
SLOWER_BY_S = 2.0  # this much longer: less than that is what two runs on one machine differ by anyhow
ALIKE = 0.5  # of what a run judged, at least, an earlier one must have judged too to be worth a comparison
LOOK_BACK = 10  # runs


@dataclass(frozen=True)
class Change:
    """A promise that came out otherwise, or took longer, than in the run before."""

    test: str
    claim: str
    before: Promise
    after: Promise


@dataclass(frozen=True)
class Comparison:
    """What differs: verdicts, then seconds; `gone` and `new` are tests that only one of the runs judged."""

    before: Verdict
    after: Verdict
    verdicts: Sequence[Change]
    slower: Sequence[Change]
    faster: Sequence[Change]
    new: Sequence[Promise]
    gone: Sequence[Promise]


def judged(verdict: Verdict) -> dict[str, Promise]:
    """The promises that a run asked, by test."""
    return {p.test: p for p in verdict.promises if p.outcome is not Outcome.NOT_PROVEN}


def compare(before: Verdict, after: Verdict) -> Comparison:
    """What changed from one run to another."""
    old, new = judged(before), judged(after)
    both = [Change(test, f"{new[test].suite}: {new[test].claim}", old[test], new[test]) for test in new if test in old]
    return Comparison(
        before=before,
        after=after,
        verdicts=[each for each in both if each.before.outcome is not each.after.outcome],
        slower=[each for each in both if took_longer(each.before, each.after)],
        faster=[each for each in both if took_longer(each.after, each.before)],
        new=[promise for test, promise in new.items() if test not in old],
        gone=[promise for test, promise in old.items() if test not in new],
    )


def took_longer(first: Promise, second: Promise) -> bool:
    """Whether the second took longer by more than two runs differ anyhow."""
    return second.seconds > SLOWER * first.seconds and second.seconds - first.seconds > SLOWER_BY_S


def earlier(reports: Path, run: str) -> Iterator[Verdict]:
    """The verdicts of earlier runs that can be read, the newest first."""
    folders = sorted((f for f in reports.glob("*-*") if f.is_dir() and f.name < run), reverse=True)
    for folder in folders[:LOOK_BACK]:
        try:
            yield load(folder)
        except (OSError, ValidationError):
            continue  # a run that was killed, or of another version of this project


def previous(reports: Path, verdict: Verdict) -> Verdict | None:
    """The last run before that judged at least half of what this one did; None where there is none."""
    asked = judged(verdict)
    for found in earlier(reports, verdict.run):
        shared = asked.keys() & judged(found).keys()
        if asked and len(shared) >= ALIKE * len(asked):
            return found
    return None
