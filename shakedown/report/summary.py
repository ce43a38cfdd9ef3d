"""The summary in the terminal: each promise one line with its evidence."""

from collections.abc import Iterator
from itertools import groupby

from shakedown.verdict import Outcome, Promise

WORD = {
    Outcome.PASSED: "proven",
    Outcome.FAILED: "FAILED",
    Outcome.INCONCLUSIVE: "NOT JUDGED",
    Outcome.NOT_PROVEN: "not asked",
}
SEVERITY = list(WORD)  # printed in this order, so that the bad news stands next to the prompt


def lines(promises: list[Promise]) -> Iterator[tuple[Outcome, str]]:
    """One line a promise, suites together and failures last; many proven cases of one promise share a line."""
    for outcome in (Outcome.NOT_PROVEN, Outcome.PASSED, Outcome.INCONCLUSIVE, Outcome.FAILED):
        chosen = sorted((p for p in promises if p.outcome is outcome), key=lambda p: (p.suite, p.claim))
        for (suite, claim), group in groupby(chosen, key=lambda p: (p.suite, p.claim)):
            cases = list(group)
            if outcome in (Outcome.PASSED, Outcome.NOT_PROVEN):
                yield outcome, f"{WORD[outcome]:<11}{suite}: {claim}{shared(cases)}"
            else:
                yield from ((outcome, f"{WORD[outcome]:<11}{suite}: {claim}{case_id(c)}: {c.reason}") for c in cases)


def shared(cases: list[Promise]) -> str:
    """How many cases there were, and the evidence or reason of the first."""
    first = cases[0]
    seen = "; ".join(first.evidence) or first.reason
    return f"{f' ({len(cases)} cases)' if len(cases) > 1 else ''}{f': {seen}' if seen else ''}"


def case_id(promise: Promise) -> str:
    """The parameters of a test that has some."""
    return f" [{promise.test.partition('[')[2]}" if "[" in promise.test else ""


def totals(promises: list[Promise]) -> str:
    """The line that sums it up."""
    counted = ", ".join(
        f"{number:,} {WORD[outcome].lower()}"
        for outcome in SEVERITY
        if (number := sum(p.outcome is outcome for p in promises))
    )
    return counted or "nothing was judged"
