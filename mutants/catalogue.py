"""The catalogue: one YAML file per seeded defect, read strictly."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FOLDER = Path(__file__).parent / "catalogue"


class CatalogueError(Exception):
    """A file of the catalogue is not what it must be; the message names file and field."""


class Strict(BaseModel):
    """Unknown fields are refused, so that a slip of the pen is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Replacement(Strict):
    """Text to replace within one string value; `old` must be there."""

    path: str
    old: str
    new: str


class Change(Strict):
    """One change of the rendered objects: patch or replace in one of them, add one, or remove one."""

    on: str = ""
    patch: list[dict[str, Any]] = Field(default_factory=list)
    replace: list[Replacement] = Field(default_factory=list)
    add: dict[str, Any] = Field(default_factory=dict)
    remove: str = ""

    @model_validator(mode="after")
    def one_kind(self) -> "Change":
        """A change either touches an object, adds one or removes one."""
        if sum((bool(self.on), bool(self.add), bool(self.remove))) != 1 or bool(self.on) != bool(
            self.patch or self.replace
        ):
            raise ValueError("give `on` with `patch` or `replace`, or `add`, or `remove`")
        return self


class Action(Strict):
    """One action on a live cluster: kubectl's arguments, and what it reads from standard input."""

    kubectl: list[str]
    stdin: str = ""


class Caught(Strict):
    """What must turn red: the test's file, for the static suite rule and object, and a phrase of its message."""

    layer: Literal["static", "live"]
    test: str
    rule: str = ""
    object: str = ""
    says: str


class Mutant(Strict):
    """A seeded defect.

    `refused` says that the API server refusing the object is the point; otherwise it must still accept it.
    """

    id: str
    title: str
    suffers: str
    origin: str
    deployment: str
    change: list[Change] = Field(default_factory=list)
    actions: list[Action] = Field(default_factory=list)
    await_: list[Action] = Field(default_factory=list, alias="await")
    caught: Caught
    refused: bool = False

    @model_validator(mode="after")
    def changes_something(self) -> "Mutant":
        """A static mutant changes rendered objects; a live one may act on the cluster instead."""
        if not self.change and (self.caught.layer == "static" or not self.actions):
            raise ValueError("changes nothing; give `change`, or `actions` for the live layer")
        if self.caught.layer == "static" and not (self.caught.rule and self.caught.object):
            raise ValueError("names no rule and object that must turn red")
        return self


def read(layer: str, folder: Path = FOLDER) -> list[Mutant]:
    """All mutants of one layer by id. Raises CatalogueError for a file that is not a mutant, or wrongly named."""
    found = []
    for file in sorted((folder / layer).glob("*.yaml")):
        try:
            mutant = Mutant.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (yaml.YAMLError, ValidationError) as error:
            raise CatalogueError(f"{file}: {error}") from error
        if mutant.id != file.stem or mutant.caught.layer != layer:
            raise CatalogueError(f"{file}: is {mutant.id} of layer {mutant.caught.layer}; name and folder must agree")
        found.append(mutant)
    if not found:
        raise CatalogueError(f"{folder / layer}: holds no mutant")
    return found
