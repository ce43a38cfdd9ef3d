"""The kill matrix: what became of each seeded defect, and what turned red for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

SAID = 160  # characters of what a test said
FATES = {"killed": "proven", "survived": "failed", "killed by the wrong test": "unjudged", "worthless": "unasked"}


@dataclass(frozen=True)
class Kill:
    """One mutant: `named` is the rule or test that must catch it, `red` what else turned red."""

    id: str
    title: str
    fate: str
    style: str
    named: str
    red: Sequence[str]
    said: str


@dataclass(frozen=True)
class Matrix:
    """The mutants of one part of the catalogue, those that weren't caught as they should first."""

    name: str
    at: str
    kills: Sequence[Kill]

    @property
    def caught(self) -> int:
        """How many were killed by the test that is named for them."""
        return sum(kill.style == "proven" for kill in self.kills)


def matrices(reports: Path) -> list[Matrix]:
    """The kill matrices that lie in a folder: those of the static and of the live suites."""
    parts = {"Seeded defects in manifests": "mutation.json", "Seeded defects in a cluster": "mutation-live.json"}
    found = {name: reports / file for name, file in parts.items() if (reports / file).is_file()}
    return [matrix(name, orjson.loads(file.read_bytes())) for name, file in found.items()]


def matrix(name: str, document: Mapping[str, Any]) -> Matrix:
    """The kill matrix of one document."""
    kills = [kill_of(mutant) for mutant in document["mutants"]]
    return Matrix(name, str(document.get("at", "")), sorted(kills, key=lambda kill: (kill.style == "proven", kill.id)))


def kill_of(mutant: Mapping[str, Any]) -> Kill:
    """One mutant; the rule that is named for it stands in what it said."""
    said = str(mutant["said"])
    rule = said.partition("why (")[2].partition(")")[0]
    named = rule or str(mutant["test"]).partition("::")[2].removeprefix("test_").replace("_", " ")
    return Kill(
        id=mutant["id"],
        title=mutant["title"],
        fate=mutant["fate"],
        style=FATES[mutant["fate"]],
        named=named,
        red=[red for red in mutant.get("red", ()) if red != rule],
        said=said.partition("\n")[0][:SAID],
    )
