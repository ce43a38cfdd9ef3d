"""What the docs name is there: files, make's targets, options, commands, suites."""

import argparse
import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from shakedown.cli import parser

PROJECT = Path(__file__).parents[2]
DOCS = sorted([PROJECT / "README.md", *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("*/README.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)\)")
FENCE = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PYTEST_OWN = {"--collect-only", "-q", "-k"}


def commands(file: Path) -> list[list[str]]:
    """The commands in a document's fences, without their comments and where they write to."""
    lines = [line.strip() for fence in FENCE.findall(file.read_text()) for line in fence.splitlines()]
    words = (shlex.split(line, comments=True) for line in lines if line and not line.startswith("#"))
    return [list(takewhile(lambda word: word != ">", each)) for each in words]


ALL = [(file, command) for file in DOCS for command in commands(file) if command]


def test_every_relative_link_leads_to_a_file() -> None:
    links = [(file, link) for file in DOCS for link in LINK.findall(file.read_text()) if "://" not in link]
    assert len(links) > 5
    assert [(file.name, link) for file, link in links if not (file.parent / link).exists()] == []


def test_every_document_that_is_named_is_there() -> None:
    named = [(file.name, name) for file in DOCS for name in re.findall(r"`(docs/[\w./-]+)`", file.read_text())]
    assert named
    assert [each for each in named if not (PROJECT / each[1]).exists()] == []


def test_every_make_target_is_one() -> None:
    targets = set(re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = {(file.name, command[1]) for file, command in ALL if command[0] == "make"}
    assert named
    assert {each for each in named if each[1] not in targets} == set()


def test_every_pytest_option_and_path_is_there() -> None:
    known = "".join(file.read_text() for file in PROJECT.glob("fixtures/*.py")) + "--keep-cluster --cluster-name"
    asked = [(file, command) for file, command in ALL if command[0].endswith("/pytest")]
    assert asked
    for file, command in asked:
        options = {word.partition("=")[0] for word in command if word.startswith("-")} - PYTEST_OWN
        assert {option for option in options if option not in known} == set(), f"{file.name}: {command}"
        paths = [word for word in command[1:] if word.startswith("suites")]
        assert [path for path in paths if not (PROJECT / path.partition("::")[0]).exists()] == [], file.name


def test_every_shakedown_command_is_taken_by_its_parser(capsys: Any) -> None:
    asked = [command[3:] for _, command in ALL if command[1:3] == ["-m", "shakedown"]]
    assert len(asked) > 5
    for arguments in asked:
        try:
            found = parser().parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{arguments}: {capsys.readouterr().err}")
        assert isinstance(found, argparse.Namespace)


def test_every_suite_has_its_section_of_promises() -> None:
    sections = set(re.findall(r"^## ([\w-]+)", (PROJECT / "docs" / "promises.md").read_text(), re.MULTILINE))
    suites = {test.parent.name for test in PROJECT.glob("suites/*/test_*.py")}
    assert sections >= suites, f"docs/promises.md says nothing of {sorted(suites - sections)}"
