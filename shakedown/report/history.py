"""Each promise over the runs: what came out, how long it took, and which one is flaky."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pydantic import ValidationError

from shakedown.report.bundle import Verdict, load
from shakedown.report.claims import Claim, suites
from shakedown.verdict import Outcome

LETTER = {Outcome.PASSED: ".", Outcome.FAILED: "F", Outcome.INCONCLUSIVE: "?", Outcome.NOT_PROVEN: " "}


@dataclass(frozen=True)
class Course:
    """One claim over the runs, oldest first: `seconds` is the median of the runs that asked it.

    `flaky` says that it both passed and failed while the same manifests were judged.
    """

    suite: str
    claim: str
    outcomes: Sequence[Outcome]
    seconds: float
    flaky: bool

    def __str__(self) -> str:
        letters = "".join(LETTER[outcome] for outcome in self.outcomes)
        return f"{letters}  {self.seconds:7.1f} s  {self.suite}: {self.claim}{'  FLAKY' if self.flaky else ''}"


def runs(reports: Path, last: int) -> list[Verdict]:
    """The verdicts of the last runs that can be read and that nothing was broken in on purpose, oldest first."""
    found = []
    for folder in sorted((f for f in reports.glob("*-*") if f.is_dir()), reverse=True):
        try:
            verdict = load(folder)
        except (OSError, ValidationError):
            continue  # a run that was killed
        if not verdict.judged.patches:
            found.append(verdict)
        if len(found) == last:
            break
    return found[::-1]


def courses(verdicts: Sequence[Verdict]) -> Iterator[Course]:
    """Each claim's course over the runs."""
    told = [{(c.suite, c.claim): c for s in suites(v.promises) for c in s.claims} for v in verdicts]
    for suite, claim in dict.fromkeys(name for one in told for name in one):
        found = [one.get((suite, claim)) for one in told]
        asked = [(v, c) for v, c in zip(verdicts, found, strict=True) if c and c.outcome is not Outcome.NOT_PROVEN]
        yield Course(
            suite=suite,
            claim=claim,
            outcomes=[c.outcome if c else Outcome.NOT_PROVEN for c in found],
            seconds=median(c.seconds for _, c in asked) if asked else 0.0,
            flaky=is_flaky(asked),
        )


def is_flaky(asked: Iterable[tuple[Verdict, Claim]]) -> bool:
    """Whether the same manifests got both verdicts."""
    seen: dict[str, set[Outcome]] = {}
    for verdict, claim in asked:
        if verdict.judged.manifests:
            seen.setdefault(verdict.judged.manifests, set()).add(claim.outcome)
    return any({Outcome.PASSED, Outcome.FAILED} <= outcomes for outcomes in seen.values())
