"""The mutation score: every seeded defect is judged, and must be caught where the catalogue says."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from mutants.bench import Bench, refusals
from mutants.catalogue import Mutant
from mutants.change import DoesNotApply, plain_name
from shakedown.lint.rule import RULES, Judgement

ROOT = Path(__file__).parents[1]


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    WRONG_TEST = "killed by the wrong test"
    SURVIVED = "survived"
    WORTHLESS = "worthless"  # it does not apply, or the API server refuses it and that is not its point


@dataclass(frozen=True)
class Result:
    """One mutant's fate, the rules that turned red, and what the named test said."""

    id: str
    title: str
    test: str
    fate: Fate
    red: tuple[str, ...]
    said: str


def judge_mutant(mutant: Mutant, bench: Bench) -> Result:
    """Apply one static mutant and see what turns red."""
    try:
        objects = bench.mutated(mutant)
    except DoesNotApply as error:
        return _result(mutant, Fate.WORTHLESS, (), f"does not apply: {error}")
    broken = bench.judge(mutant.deployment, objects)
    red = tuple(sorted({each.rule.name for each in broken}))
    refused = refusals(broken)
    if bool(refused) != mutant.refused:
        said = refused[0] if refused else "the API server takes it, and refusing it is its point"
        return _result(mutant, Fate.WORTHLESS, red, said)
    named = [str(each) for each in broken if _is_named(each, mutant)]
    if any(mutant.caught.says in said for said in named):
        return _result(mutant, Fate.KILLED, red, named[0])
    if broken:
        return _result(mutant, Fate.WRONG_TEST, red, (named or [str(each) for each in broken])[0])
    return _result(mutant, Fate.SURVIVED, red, "")


def _is_named(each: Judgement, mutant: Mutant) -> bool:
    path = mutant.caught.test.partition("::")[0]
    right_file = path == f"suites/static/test_{each.rule.theme}.py"
    return right_file and (each.rule.name, plain_name(each.subject)) == (mutant.caught.rule, mutant.caught.object)


def _result(mutant: Mutant, fate: Fate, red: tuple[str, ...], said: str) -> Result:
    return Result(mutant.id, mutant.title, mutant.caught.test, fate, red, said)


def unjudged(bench: Bench) -> list[str]:
    """Rules that judge nothing in any deployment: no mutant can prove them."""
    judged = {each.rule.name for found in bench.baseline.values() for each in found}
    return [name for name in RULES if name not in judged]


def report(results: list[Result], idle: list[str], seconds: float) -> Iterator[str]:
    """The raw score first, then what went wrong, then the kill matrix."""
    fates = Counter(each.fate for each in results)
    killed = f"{fates[Fate.KILLED]} of {len(results)} mutants"
    yield f"{killed} killed by the test that is named for them: {raw_score(results):.1f} %"
    for fate in (Fate.SURVIVED, Fate.WRONG_TEST, Fate.WORTHLESS):
        for each in (r for r in results if r.fate is fate):
            yield f"{fate}: {each.id} ({each.test}); red: {', '.join(each.red) or 'nothing'}\n  {each.said}"
    if idle:
        yield f"rules that judge nothing anywhere: {', '.join(idle)}"
    yield "kill matrix: each mutant, the rule named for it (*), and what else turned red"
    yield from (f"  {each.id:34} {' '.join(marked(each))}" for each in results)
    yield f"{seconds:.1f} s"


def marked(each: Result) -> list[str]:
    """The rules that turned red, the named one first and marked."""
    own = each.said.partition("why (")[2].partition(")")[0]
    return [f"{own}*", *(name for name in each.red if name != own)] if each.fate is Fate.KILLED else list(each.red)


def raw_score(results: list[Result]) -> float:
    """Percent of the mutants that were killed by the named test."""
    return 100 * sum(each.fate is Fate.KILLED for each in results) / len(results)


def write(results: list[Result], bench: Bench, seconds: float, file: Path) -> None:
    """Write mutation.json."""
    baseline = {name: len(found) for name, found in bench.baseline.items()}
    document = {
        "score_percent": round(raw_score(results), 2),
        "seconds": round(seconds, 1),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "baseline_judgements": baseline,
        "mutants": [asdict(each) for each in results],
    }
    file.write_text(json.dumps(document, indent=1) + "\n")
