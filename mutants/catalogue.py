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


class Caught(Strict):
    """What must turn red: the test, its rule and object, and a phrase of its message."""

    layer: Literal["static"]
    test: str
    rule: str
    object: str
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
    change: list[Change] = Field(min_length=1)
    caught: Caught
    refused: bool = False


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
