from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from shakedown.lint.objects import Obj
from shakedown.lint.world import World


@dataclass(frozen=True)
class Problem:
    """One defect of one object: the field, what is wrong with it, and the mend."""

    field: str
    says: str
    mend: str


Problems: TypeAlias = Iterator[Problem]
Subjects: TypeAlias = Callable[[World], Iterable[Obj]]
Judge: TypeAlias = Callable[[Obj, World], Problems]


@dataclass(frozen=True)
class Rule:
    """A promise that manifests keep: which objects it is about, how each is judged, and why it matters."""

    name: str
    theme: str
    why: str
    subjects: Subjects
    judge: Judge


@dataclass(frozen=True)
class Judgement:
    """What one rule found about one object; no problems means that the promise holds."""

    rule: Rule
    subject: Obj
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        lines = []
        for problem in self.problems:
            lines += [f"{self.subject}, {problem.field}: {problem.says}", f"  mend: {problem.mend}"]
        return "\n".join([*lines, f"  why ({self.rule.name}): {self.rule.why}", f"  from {self.subject.source}"])


RULES: dict[str, Rule] = {}


def rule(name: str, subjects: Subjects, *, why: str) -> Callable[[Judge], Judge]:
    """Register a rule under a unique name; its theme is the module that holds it.

    A name that is taken raises ValueError.
    """

    def register(judge: Judge) -> Judge:
        if name in RULES:
            raise ValueError(f"two rules are named {name}; give one of them another name")
        RULES[name] = Rule(name, judge.__module__.rpartition(".")[2], why, subjects, judge)
        return judge

    return register


def kinds(*names: str) -> Subjects:
    """Subjects that are all objects of these kinds."""
    return lambda world: world.of(*names)
