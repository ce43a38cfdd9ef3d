"""The diagnostics of a failure as the page shows them: the end of each file that says something."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shakedown.diagnostics import redact

ORDER = (".events.txt", "window.txt", ".objects.txt", ".log", ".describe.txt", ".txt")
LINES = 60
FILE_CHARACTERS = 12_000
FAILURE_CHARACTERS = 60_000
PAGE_CHARACTERS = 1_500_000  # of diagnostics in one page, which is to stay under 5 MB


@dataclass(frozen=True)
class Excerpt:
    """The end of one file: `left_out` lines came before it."""

    file: str
    text: str
    left_out: int


def folder_of(test: str) -> str:
    """The folder's name that the diagnostics of a test are kept under."""
    return test.partition("::")[2].replace("/", "_")[:120]


def excerpts(folder: Path, budget: int) -> Iterator[Excerpt]:
    """What the files of a folder end with, the most telling first, until so many characters are spent."""
    files = sorted((f for f in folder.glob("*") if f.is_file()), key=lambda f: (rank(f.name), f.name))
    for file in files:
        lines = redact(file.read_text(errors="replace")).splitlines()
        kept = "\n".join(lines[-LINES:])[-FILE_CHARACTERS:]
        if not kept.strip() or len(kept) > budget:
            continue
        budget -= len(kept)
        yield Excerpt(file.name, kept, max(0, len(lines) - kept.count("\n") - 1))


def rank(name: str) -> int:
    """How early a file is shown."""
    return next(index for index, end in enumerate((*ORDER, "")) if name.endswith(end))
