"""Promises as the page shows them: the cases of one claim together, the worst outcome first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from shakedown.verdict import Outcome, Promise

WORST = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED, Outcome.NOT_PROVEN)
CASES = 40  # of one claim are written out; all are in verdict.json


@dataclass(frozen=True)
class Claim:
    """One claim of one suite: `cases` are its tests, those with bad news first; `seconds` what they took together."""

    id: str
    suite: str
    claim: str
    promise: str
    outcome: Outcome
    cases: Sequence[Promise]
    seconds: float

    @property
    def shown(self) -> Sequence[Promise]:
        """The cases that are written out."""
        return self.cases[:CASES]


@dataclass(frozen=True)
class Suite:
    """A suite's claims, in the order in which they were asked."""

    name: str
    claims: Sequence[Claim]

    def count(self, outcome: Outcome) -> int:
        """How many of the suite's cases came to an outcome."""
        return sum(case.outcome is outcome for claim in self.claims for case in claim.cases)

    @property
    def outcome(self) -> Outcome:
        """The worst that came out."""
        return worst(claim.outcome for claim in self.claims)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that a reader must know of first; where something passed, what was not asked doesn't count."""
    return min(outcomes, key=WORST.index)


def suites(promises: Sequence[Promise]) -> list[Suite]:
    """Promises by suite and claim, in the order in which they were asked; what wasn't asked comes last."""
    grouped: dict[str, dict[str, list[Promise]]] = {}
    for each in promises:
        grouped.setdefault(each.suite, {}).setdefault(each.claim, []).append(each)
    return [
        Suite(suite, sorted((claim_of(suite, *claim) for claim in claims.items()), key=unasked))
        for suite, claims in grouped.items()
    ]


def unasked(claim: Claim) -> bool:
    """Whether no case of a claim was asked."""
    return claim.outcome is Outcome.NOT_PROVEN


def claim_of(suite: str, name: str, cases: list[Promise]) -> Claim:
    """The cases of one claim."""
    ordered = sorted(cases, key=lambda case: WORST.index(case.outcome))
    return Claim(
        id="p-" + sha256(f"{suite} {name}".encode()).hexdigest()[:10],
        suite=suite,
        claim=name,
        promise=cases[0].promise,
        outcome=ordered[0].outcome,
        cases=ordered,
        seconds=sum(case.seconds for case in cases),
    )


def case_name(promise: Promise) -> str:
    """The parameters of a test that has some."""
    return promise.test.partition("[")[2].rstrip("]")
