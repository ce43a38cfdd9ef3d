"""reports/<run>/report.html: one file that needs no server, no network, and no script to be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shakedown.report import accounts, bundle, claims, evidence, mutation
from shakedown.report.bundle import Verdict
from shakedown.report.claims import case_name
from shakedown.report.compare import compare, previous
from shakedown.report.recoveries import recoveries
from shakedown.report.story import Story, read
from shakedown.report.summary import WORD, totals
from shakedown.report.timeline import clock, timeline
from shakedown.verdict import EXIT_FAILED, EXIT_PROVEN, Outcome, Promise

PARTS = Path(__file__).parent / "page"
FAILURES = 100  # are written out with their diagnostics; all are in verdict.json
STYLES = {
    Outcome.PASSED: "proven",
    Outcome.FAILED: "failed",
    Outcome.INCONCLUSIVE: "unjudged",
    Outcome.NOT_PROVEN: "unasked",
}
SIGNS = {Outcome.PASSED: "✓", Outcome.FAILED: "✕", Outcome.INCONCLUSIVE: "?", Outcome.NOT_PROVEN: "·"}


@dataclass(frozen=True)
class Trouble:
    """A promise that failed or could not be judged: `window` is when it was asked, seconds since the start."""

    promise: Promise
    case: str
    window: tuple[float, float] | None
    folder: str
    excerpts: Sequence[evidence.Excerpt]


def write(folder: Path) -> Path:
    """Write report.html beside a run's verdict.json and ledger.jsonl, whole: beside, then renamed."""
    beside = folder / "report.html.part"
    beside.write_text(render(folder))
    return beside.rename(folder / "report.html")


def render(folder: Path) -> str:
    """The page of a run's folder."""
    verdict, story = bundle.load(folder), read(folder / "ledger.jsonl")
    before = previous(folder.parent, verdict)
    suites = claims.suites(verdict.promises)
    environment = Environment(
        loader=FileSystemLoader(PARTS), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(clock=clock, case=case_name, style=STYLES.__getitem__, sign=SIGNS.__getitem__)
    environment.filters.update(word=WORD.__getitem__)
    return environment.get_template("report.html.j2").render(
        **parts(),
        verdict=verdict,
        headline=headline(verdict),
        totals=totals(verdict.promises),
        suites=suites,
        troubles=list(troubles(folder, verdict, story)),
        failures_shown=FAILURES,
        timeline=timeline(story, {p.test: p.outcome for p in verdict.promises}),
        comparison=compare(before, verdict) if before else None,
        matrices=mutation.matrices(folder.parent),
        flows=accounts.flows(story),
        recoveries=recoveries(story, folder.parent / before.run / "ledger.jsonl" if before else None),
        stages=accounts.bars(verdict.stages),
        slowest=accounts.slowest([claim for suite in suites for claim in suite.claims]),
        Outcome=Outcome,
    )


def parts() -> dict[str, Any]:
    """The stylesheet and the script, which stand in the page itself."""
    return {"css": Markup((PARTS / "report.css").read_text()), "js": Markup((PARTS / "report.js").read_text())}  # noqa: S704 - the project's own files


def headline(verdict: Verdict) -> tuple[str, str]:
    """(style, words) of what the run came to."""
    if verdict.exit_code == EXIT_PROVEN:
        return "proven", "Proven"
    if verdict.exit_code == EXIT_FAILED:
        return "failed", "Failed"
    return "unjudged", "Not judged"


def troubles(folder: Path, verdict: Verdict, story: Story) -> Iterator[Trouble]:
    """What failed, then what could not be judged, each with its diagnostics, as long as the page has room."""
    asked = {str(e.fields["test"]): (e.at - story.start, float(e.fields["seconds"])) for e in story.of("promise")}
    bad = [p for o in (Outcome.FAILED, Outcome.INCONCLUSIVE) for p in verdict.promises if p.outcome is o]
    budget = evidence.PAGE_CHARACTERS
    for promise in bad[:FAILURES]:
        kept = evidence.folder_of(promise.test)
        found = list(evidence.excerpts(folder / "diagnostics" / kept, min(budget, evidence.FAILURE_CHARACTERS)))
        budget -= sum(len(each.text) for each in found)
        at, seconds = asked.get(promise.test, (0.0, 0.0))
        window = (at, at + seconds) if promise.test in asked else None
        yield Trouble(promise, case_name(promise), window, f"diagnostics/{kept}", found)
