"""This project's own workflows: they keep the rules that it holds others to, and every command in them is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from airgap.promtool import promtool
from fixtures.static import OWN, offline_kubectl, schema_folders
from shakedown.cli import parser
from shakedown.lint.judge import judge_all
from shakedown.lint.load import parse, read
from shakedown.lint.objects import Obj
from shakedown.lint.schemas import Schemas
from shakedown.lint.world import Tools, World
from shakedown.settings import Clock, Images, Profile

ROOT = Path(__file__).parents[2]
FILES = {file.stem: file for file in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
DEPLOYS = "release"
SHELL = {"cat", "rm", "umask", "printf"}  # what a runner has


def objects(text: str, name: str = "a.yml") -> list[tuple[dict[str, Any], str]]:
    return list(parse(text, name))


def commands(name: str) -> list[list[str]]:
    """Every command of a workflow's steps, those in $(...) too, with GitHub's expressions in their place."""
    ((document, _),) = objects(FILES[name].read_text())
    runs = [step["run"] for job in document["spec"]["jobs"].values() for step in job["steps"] if "run" in step]
    lines = [line for run in runs for line in re.sub(r"\\\n\s*", " ", run).splitlines()]
    lines = [re.sub(r"\$\{\{.*?\}\}", "7", line) for line in lines]
    inner = [found for line in lines for found in re.findall(r"\$\((.*?)\)", line)]
    outer = [line for line in lines if not re.match(r"\w+=\$\(", line)]
    return [shlex.split(line) for line in [*outer, *inner]]


def world_with(workflow: list[tuple[dict[str, Any], str]]) -> World:
    """What production renders to with its canary, and a workflow beside it."""
    source = read(OWN["production-canary"], offline_kubectl)
    schemas = Schemas(schema_folders())
    given = [Obj(data, where, cluster_scoped=False) for data, where in workflow]
    return World([*source.objects(schemas.cluster_scoped), *given], Tools(schemas, promtool(), ()))


def broken(name: str, text: str) -> set[str]:
    """The rules of workflows that one breaks."""
    judgements = judge_all(world_with(objects(text, f"{name}.yml")))
    return {each.rule.name for each in judgements if each.subject.kind == "Workflow" and each.problems}


def test_there_is_one_for_each_change_each_night_and_each_release() -> None:
    assert set(FILES) == {"check", "nightly", DEPLOYS}


@pytest.mark.parametrize("name", FILES)
def test_it_keeps_the_rules_of_workflows(name: str) -> None:
    found = broken(name, FILES[name].read_text())
    assert found == (set() if name == DEPLOYS else {"workflow-deploys"}), "only the release deploys"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("@08c6903cd8c0fde910a37f88322edcfb5dd907a8", "@v5", "workflow-actions-pinned"),
        ("--deployment tensorflow-serving", "--deployment tf-serving", "workflow-deploys-what-is-there"),
        ("--container tensorflow-serving", "--container server", "workflow-deploys-what-is-there"),
        ("--namespace model-serving", "--namespace default", "workflow-deploys-what-is-there"),
        ("--deployment tensorflow-serving-canary", "--deployment canary", "workflow-deploys-what-is-there"),
        ("shakedown release", "shakedown check", "workflow-deploys"),
        ("docker/login-action", "actions/cache", "workflow-pushes-signed-in"),
        ("pytest", "true", "workflow-tests-first"),
    ],
)
def test_a_release_that_breaks_a_rule_is_found(old: str, new: str, rule: str) -> None:
    text = FILES[DEPLOYS].read_text()
    assert old in text
    assert rule in broken(DEPLOYS, text.replace(old, new))


@pytest.mark.parametrize("name", FILES)
def test_each_command_is_there(name: str) -> None:
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = commands(name)
    assert found
    for command in found:
        if command[0] == "make":
            assert set(command[1:]) <= targets, command
        elif command[:2] == [".venv/bin/python", "-m"]:
            require_module(command[2:])
        elif command[0] == ".venv/bin/pytest":
            require_options(command[1:])
        else:
            assert command[0] in SHELL, f"{command[0]}: is it on every runner?"


def require_module(words: list[str]) -> None:
    """A command of the library is taken by its parser, and so is the check that a release is verified with."""
    assert words[0] == "shakedown", words
    options = parser().parse_args(words[1:])
    if verify := getattr(options, "verify", ""):
        assert shlex.split(verify)[:3] == [".venv/bin/python", "-m", "shakedown"]
        require_module(shlex.split(verify)[2:])


def require_options(words: list[str]) -> None:
    """Paths are there, options are the project's, and each value is one that its option takes."""
    known = "".join(file.read_text() for file in (ROOT / "fixtures").glob("*.py"))
    choices = {"--profile": Profile, "--clock": Clock, "--images": Images}
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            assert f'"{word}"' in known, f"{word} is no option"
            assert word not in choices or value in list(choices[word]), f"{word} {value}"
        elif "/" in word:
            assert (ROOT / word).exists(), f"{word} is not there"


def test_no_address_is_named_in_them() -> None:
    assert [name for name, file in FILES.items() if "://" in re.sub(r"#.*", "", file.read_text())] == []


def test_what_is_released_stands_on_the_image_that_is_deployed() -> None:
    dockerfile = (ROOT / "manifests" / "images" / "server" / "Dockerfile").read_text()
    (base,) = re.findall(r"^FROM (\S+)$", dockerfile, re.MULTILINE)
    assert f"image: {base} " in (ROOT / "manifests" / "base" / "serving" / "deployment.yaml").read_text()
