"""Mutating mechanically: each field deleted, each value swapped, one at a time; each survivor must be judged."""

import copy
import json
import multiprocessing
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpointer
import yaml
from pydantic import Field, TypeAdapter

from mutants.bench import Bench
from mutants.catalogue import Strict
from mutants.change import plain_name
from shakedown.lint.objects import Obj
from shakedown.lint.promtool import NotJudged

JUDGED = Path(__file__).parent / "survivors.yaml"
DEPLOYMENTS = ("label-reader", "production")
# what an object is, not what it says
KEPT = {"/apiVersion", "/kind", "/metadata", "/metadata/name", "/metadata/namespace"}
CRASHED, NO_WORD = " CRASHES a rule: ", " got no verdict: "  # no judgement can excuse these
LINES = 2  # texts of this many lines are mutated line by line


@dataclass(frozen=True)
class Spot:
    """One mechanical mutant: where, what is done, and the value that stands there afterwards."""

    deployment: str
    index: int
    name: str
    path: str
    operation: str
    value: Any = None

    def __str__(self) -> str:
        return f"{self.deployment} {self.name} {self.operation} {self.path}"


class Judgement(Strict):
    """Survivors that were judged: a pattern of their descriptions, how many, the class, and why."""

    pattern: str
    count: int
    kind: str = Field(alias="class")
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What a mechanical run found."""

    tried: int
    survivors: dict[str, str]
    unjudged: list[str]
    stale: list[str]
    seconds: float


def spots(bench: Bench) -> Iterator[Spot]:
    """Every mechanical mutant of the deployments."""
    for deployment in DEPLOYMENTS:
        for index, obj in enumerate(bench.worlds[deployment].rendered):
            for path, value in walk(obj.data, ""):
                if path not in KEPT:
                    name = plain_name(obj)
                    yield Spot(deployment, index, name, path, "delete")
                    yield from (Spot(deployment, index, name, path, *each) for each in swaps(value) if each[1] != value)


def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # whatever YAML holds
    """The pointer and value of everything below a value."""
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in items:
        pointer = f"{path}/{jsonpointer.escape(str(key))}"
        yield pointer, item
        yield from walk(item, pointer)


def swaps(value: Any) -> Iterator[tuple[str, Any]]:  # the same
    """What may stand in a leaf's place, and how that is called."""
    if isinstance(value, bool):
        yield "flip", not value
    elif isinstance(value, int | float):
        yield "zero", 0
        yield "tenfold", value * 10
    elif isinstance(value, str) and len(value.splitlines()) >= LINES:
        lines = value.splitlines()
        for number, line in enumerate(lines):
            if line.strip() and not line.strip().startswith(("#", '"""')):
                told = f"drop line {number + 1} {line.strip()[:60]!r} of"  # two lines may read alike, and each counts
                yield told, "\n".join([*lines[:number], *lines[number + 1 :]]) + "\n"
    elif isinstance(value, str):
        yield (
            "swap",
            re.sub(r"\d+", lambda found: str(int(found[0]) * 10), value) if value[:1].isdigit() else f"{value}x",
        )


def mutate(obj: Obj, spot: Spot) -> Obj:
    """The object with the spot's change."""
    data = copy.deepcopy(obj.data)
    pointer = jsonpointer.JsonPointer(spot.path)
    parent, key = pointer.to_last(data)
    if spot.operation == "delete":
        del parent[key]
    else:
        parent[key] = spot.value
    return Obj(data, obj.source, obj.cluster_scoped)


_BENCH: list[Bench] = []  # what a forked worker finds


def fate(spot: Spot) -> str:
    """Empty where something turns red, else that it survives, or what a rule raised: no input may crash a rule.

    One that promtool gave no verdict on was neither killed nor did it survive: that is told, and the others are tried.
    """
    bench = _BENCH[0]
    objects = list(bench.worlds[spot.deployment].rendered)
    objects[spot.index] = mutate(objects[spot.index], spot)
    try:
        return "" if bench.catches(spot.deployment, objects) else str(spot)
    except NotJudged as error:
        return f"{spot}{NO_WORD}{error}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
        return f"{spot}{CRASHED}{error!r}"


def run(bench: Bench) -> Outcome:
    """Try every spot, in as many processes as there are cores, and hold the survivors against the judged ones."""
    started = time.monotonic()
    _BENCH[:] = [bench]
    every = list(spots(bench))
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        fates = pool.map(fate, every, chunksize=16)
    return hold(len(every), [each for each in fates if each], read_judged(), time.monotonic() - started)


def read_judged(file: Path = JUDGED) -> list[Judgement]:
    """The judgements of survivors, in the order in which they apply."""
    return TypeAdapter(list[Judgement]).validate_python(yaml.safe_load(file.read_text(encoding="utf-8")) or [])


def hold(tried: int, alive: list[str], judged: list[Judgement], seconds: float) -> Outcome:
    """Give each survivor the first judgement whose pattern it matches; a crash is nobody's to judge."""
    patterns = [(re.compile(each.pattern), each.kind) for each in judged]
    used: Counter[str] = Counter()
    survivors: dict[str, str] = {}
    unjudged = []
    for spot in alive:
        fitting = () if CRASHED in spot or NO_WORD in spot else patterns
        found = next(((pattern, kind) for pattern, kind in fitting if pattern.search(spot)), None)
        if found is None:
            unjudged.append(spot)
        else:
            survivors[spot] = found[1]
            used[found[0].pattern] += 1
    unjudged += [
        f"{used[each.pattern]} survivors match {each.pattern!r}, and {each.count} were judged"
        for each in judged
        if used[each.pattern] > each.count
    ]
    stale = [each.pattern for each in judged if used[each.pattern] < each.count]
    return Outcome(tried, survivors, unjudged, stale, seconds)


def report(outcome: Outcome) -> Iterator[str]:
    """The raw score first, survivors by class, and what nobody has judged."""
    alive = len(outcome.survivors) + len(outcome.unjudged)
    percent = 100 - 100 * alive / outcome.tried
    yield f"{outcome.tried - alive} of {outcome.tried} mechanical mutants killed: {percent:.1f} %"
    for kind, count in Counter(outcome.survivors.values()).most_common():
        yield f"  {count:5} survivors judged: {kind}"
    yield from (f"survivor that nobody has judged: {spot}" for spot in outcome.unjudged)
    yield from (f"judgement that fewer survivors match than it counts: {pattern}" for pattern in outcome.stale)
    yield f"{outcome.seconds:.1f} s"


def write(outcome: Outcome, file: Path) -> None:
    """Write every survivor with its class."""
    document = {"tried": outcome.tried, "survivors": outcome.survivors, "unjudged": outcome.unjudged}
    file.write_text(json.dumps(document, indent=1) + "\n")
