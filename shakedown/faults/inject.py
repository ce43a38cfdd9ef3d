"""One fault from its journal entry to its undoing: nothing is judged before it has proven that it bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from shakedown.cluster import Cluster
from shakedown.faults import timer
from shakedown.faults.guard import Limits, Radius, admit
from shakedown.faults.journal import Entry, Journal
from shakedown.faults.undo import AnyAct
from shakedown.ledger import Ledger, now
from shakedown.verdict import Failed, Inconclusive
from shakedown.wait import NotYet, eventually


class Fault(Protocol):
    """One disturbance. `name` is its kind, `target` what it hits, both in words for the report."""

    @property
    def name(self) -> str:
        """Its kind, such as pod-deleted."""

    @property
    def target(self) -> str:
        """The object that it hits."""

    @property
    def radius(self) -> Radius:
        """What it hurts at the most."""

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """What undoes it, known before it begins; nothing where the cluster heals it by itself."""

    def inject(self) -> None:
        """Begin."""

    def prove(self) -> str:
        """What shows that it bit; raises NotYet until something does."""


@dataclass(frozen=True)
class Together:
    """Several faults at once: begun in their order, undone in the opposite one."""

    faults: tuple[Fault, ...]

    @property
    def name(self) -> str:
        """All their names."""
        return "+".join(fault.name for fault in self.faults)

    @property
    def target(self) -> str:
        """All their targets."""
        return ", ".join(fault.target for fault in self.faults)

    @property
    def radius(self) -> Radius:
        """All that they hurt."""
        each = [fault.radius for fault in self.faults]
        return Radius(
            frozenset().union(*(radius.namespaces for radius in each)),
            frozenset().union(*(radius.pods for radius in each)),
            max(radius.out_of for radius in each),
            frozenset().union(*(radius.nodes for radius in each)),
        )

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The last one's first."""
        return tuple(act for fault in reversed(self.faults) for act in fault.undo)

    def inject(self) -> None:
        """Begin all."""
        for fault in self.faults:
            fault.inject()

    def prove(self) -> str:
        """Each one's proof."""
        return "; ".join(fault.prove() for fault in self.faults)


@dataclass(frozen=True)
class Injected:
    """A fault that bit: when it began, on the ledger's clock, how long the proof took, and what the proof is."""

    fault: str
    target: str
    at: float
    seconds: float
    said: str


@dataclass
class Faults:
    """The faults of one run: `seconds` is the longest that one may last, `proof` how long its proof may take."""

    cluster: Cluster
    journal: Journal
    ledger: Ledger
    limits: Limits
    seconds: float
    proof: float
    going_on: dict[str, Radius] = field(default_factory=dict)

    @contextmanager
    def inject(self, fault: Fault, seconds: float | None = None) -> Iterator[Injected]:
        """The fault, proven, for as long as the block lasts (at most `seconds`, if given); undone on the way out.

        Raises Refused where it may not be, and Inconclusive where it never bit or its time limit ended it.
        """
        admit(self.cluster, self.limits, self.going_on.values(), fault.radius)
        limit = seconds or self.seconds
        entry = self.journal.write(fault.name, fault.target, fault.undo, limit)
        self.going_on[entry.id] = fault.radius
        self.step(fault, "noted")
        try:
            timer.start(self.journal.file(entry))
            self.step(fault, "limited", f"to {limit:g} s")
            yield self.begun(fault)
        except BaseException:  # what went wrong under the fault is told, whoever ended the fault
            self.end(fault, entry)
            raise
        if not self.end(fault, entry):
            raise Inconclusive(f"{fault.name} of {fault.target} lasted longer than its time limit allows")

    def begun(self, fault: Fault) -> Injected:
        """Begin, and wait for the proof."""
        began = now()
        fault.inject()
        self.step(fault, "injected")
        try:
            said = eventually(
                partial(proof_of, fault), within=self.proof, awaited=f"{fault.name} of {fault.target} shows"
            )
        except Failed as silent:
            raise Inconclusive(f"the fault never bit, so nothing can be judged: {silent}") from silent
        proven = self.step(fault, "proven", said)
        return Injected(fault.name, fault.target, began, proven - began, said)

    def end(self, fault: Fault, entry: Entry) -> bool:
        """Undo the fault and strike it off; whether nobody had done so before."""
        self.step(fault, "undoing")
        ended_by_us = self.journal.undo(entry)
        del self.going_on[entry.id]
        self.step(fault, "restored")
        return ended_by_us

    def step(self, fault: Fault, step: str, said: str = "") -> float:
        """Write a step down."""
        return self.ledger.record("fault", name=fault.name, target=fault.target, step=step, said=said).at


def proof_of(fault: Fault) -> str:
    """What shows that a fault bit; where it took the API server along, that is waited for.

    One that starts again refuses even its administrator (403) until it has read its roles.
    """
    try:
        return fault.prove()
    except (HTTPError, ApiException) as away:
        raise NotYet(f"the API server says {type(away).__name__}: {str(away).strip()[:120]}") from away
