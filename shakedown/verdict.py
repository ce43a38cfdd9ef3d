"""What a promise came to: proven, failed, or not judged; and what was seen."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The verdict on one promise."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"  # asked, but what was seen doesn't allow a judgement
    NOT_PROVEN = "not proven"  # not asked in this run: deselected, skipped, or of another profile


class Failed(AssertionError):
    """The promise is broken; the message names the object, what was seen, and what to do."""


class Inconclusive(Exception):
    """What was seen allows no judgement: too few samples, a fault that never landed, a cluster that died."""


class UnusableEnvironment(Exception):
    """What the run needs is not there (engine, context, disk, image); the message says how to get it."""


@dataclass(frozen=True)
class Promise:
    """One promise of one suite and what became of it.

    `claim` is the test's name in words, `promise` its docstring's first line, `evidence` what was seen when it
    passed, `reason` why it did not, `seconds` the time of set-up, test and clean-up together.
    """

    test: str
    suite: str
    claim: str
    promise: str
    outcome: Outcome
    evidence: tuple[str, ...]
    reason: str
    seconds: float


EXIT_PROVEN = 0
EXIT_FAILED = 1
EXIT_NOT_JUDGED = 6  # pytest's own codes end at 5


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """0 where everything that was asked is proven, 1 where something failed, 6 where something wasn't judged.

    A run that judged nothing is not green: it gives 6.
    """
    asked = [o for o in outcomes if o is not Outcome.NOT_PROVEN]
    if Outcome.FAILED in asked:
        return EXIT_FAILED
    if Outcome.INCONCLUSIVE in asked or not asked:
        return EXIT_NOT_JUDGED
    return EXIT_PROVEN
