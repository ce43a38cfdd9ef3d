"""reports/<run>/verdict.json: what was asked, what came out, on what cluster and clock."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shakedown.verdict import Outcome, Promise

SCHEMA_VERSION = 4  # 2 added `judged`, 3 `narrowed`, 4 `adjusted`


class Judged(BaseModel):
    """What a verdict is about, by digest, so that a gate can hold it against what is released.

    `manifests` is the digest of the rendered objects (`shakedown digest`), empty where no stack was judged; `images`
    maps each image's name to the digest that ran, `models` each model's to that of its bundle; `patches` were laid on
    top by --patch.
    """

    manifests: str = ""
    images: dict[str, str] = {}
    models: dict[str, str] = {}
    patches: list[str] = []


class Verdict(BaseModel):
    """The verdict of one run, as verdict.json holds it; times in seconds.

    `narrowed` holds the paths and options by which the run was told to ask less than its profile does, `adjusted` the
    deadlines, objectives and bounds of faults that are not Shakedown's own: {"objectives.latency_p99": 1.5}.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    run: str
    started: datetime
    seconds: float
    profile: str
    clock: str
    cluster: dict[str, Any]
    exit_code: int
    counts: dict[Outcome, int]
    stages: dict[str, float]
    ended_early: str = ""
    narrowed: list[str] = []
    adjusted: dict[str, float] = {}
    judged: Judged = Field(default_factory=Judged)
    promises: list[Promise]


def new_run(reports: Path) -> Path:
    """A folder for a run that is about to start."""
    folder = reports / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir(parents=True)
    return folder


def point_at(folder: Path) -> None:
    """Let `latest`, beside the run's folder, lead to it."""
    beside = folder.parent / f".latest-{os.getpid()}"
    beside.unlink(missing_ok=True)
    beside.symlink_to(folder.name)
    beside.replace(folder.parent / "latest")


def count(promises: list[Promise]) -> dict[Outcome, int]:
    """How many promises came to each outcome."""
    return {outcome: sum(p.outcome is outcome for p in promises) for outcome in Outcome}


def write(folder: Path, verdict: Verdict) -> None:
    """Put verdict.json down whole: beside, then renamed."""
    beside = folder / "verdict.json.part"
    beside.write_text(verdict.model_dump_json(indent=2))
    beside.rename(folder / "verdict.json")


def load(folder: Path) -> Verdict:
    """The verdict of a run's folder. Raises OSError where there is none, ValidationError where it isn't one."""
    return Verdict.model_validate_json((folder / "verdict.json").read_bytes())
