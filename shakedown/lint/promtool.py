import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path

import yaml

from shakedown.lint.objects import Obj, trees

TIMEOUT_S = 60  # it takes one to four on an idle machine
RULE_FILE = "rules.yaml"


class NotJudged(Exception):
    """promtool gave no verdict, neither for nor against; the message says of what, and what to do."""


def check(promtool: Path, rules: Obj) -> str:
    """What promtool says against the groups of a PrometheusRule; empty where it takes them. Raises NotJudged."""
    return _check(promtool, _groups((rules,)))


def unit_test(promtool: Path, rules: Sequence[Obj], test: Path) -> str:
    """What promtool says of one unit test, whose rule file `rules.yaml` is the groups of all rules given.

    Raises NotJudged.
    """
    return _unit_test(promtool, _groups(tuple(rules)), test.name, test.read_text(encoding="utf-8"))


def ask_ahead(promtool: Path, asked: Iterable[tuple[Sequence[Obj], Path]]) -> None:
    """Run unit tests side by side, each of the same rules once; who asks for one then has its verdict at once.

    Raises NotJudged.
    """
    distinct = dict.fromkeys(
        (_groups(tuple(rules)), each.name, each.read_text(encoding="utf-8")) for rules, each in asked
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda each: _unit_test(promtool, *each), distinct))


@lru_cache(maxsize=32)
def _groups(rules: tuple[Obj, ...]) -> str:
    groups = [group for each in rules for group in trees(each.spec.get("groups"))]
    return yaml.dump({"groups": groups}, Dumper=yaml.CSafeDumper, sort_keys=False)


@cache
def _check(promtool: Path, groups: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / RULE_FILE
        file.write_text(groups)
        return _run([str(promtool), "check", "rules", str(file)], folder)


@cache
def _unit_test(promtool: Path, groups: str, name: str, test: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / RULE_FILE).write_text(groups)
        (Path(folder) / name).write_text(test)
        return _run([str(promtool), "test", "rules", name], folder)


def _run(command: list[str], folder: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=folder, check=False)
    except subprocess.TimeoutExpired as error:
        asked = " ".join(command[1:]).replace(f"{folder}/", "")
        raise NotJudged(
            f"Prometheus rules could not be judged: `promtool {asked}` gave no answer within {TIMEOUT_S} s. Run it"
            " again on an idle machine; if it hangs there too, take rules or unit tests out until it ends"
        ) from error
    said = " ".join(line.strip() for line in (done.stdout + done.stderr).replace(f"{folder}/", "").splitlines())
    return said if done.returncode else ""
