"""The suite as a user runs it: `pytest suites/static --manifests ...`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fixtures.static import MOST_CASES, cases, told_once
from shakedown.lint import promtool
from shakedown.lint.objects import Obj
from shakedown.lint.rule import Judgement, Problem, Rule

ROOT = Path(__file__).parents[2]
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
RULE = Rule("promise", "theme", "because", lambda _: (), lambda *_: iter(()))


def judge(given: Path) -> subprocess.CompletedProcess[str]:
    """What the suite says of a file; the run lies beside it, and the user's latest run stays theirs."""
    where = ("--manifests", str(given), "--reports", str(given.parent / "reports"))
    command = [sys.executable, "-m", "pytest", "suites/static", "-q", "-p", "no:cacheprovider", *where]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def judgements(count: int, *problems: Problem) -> list[Judgement]:
    named = ({"kind": "ConfigMap", "metadata": {"name": f"a{n}"}} for n in range(count))
    return [Judgement(RULE, Obj(data, "given"), problems) for data in named]


def test_bad_input_ends_with_a_sentence_and_exit_code_4(tmp_path: Path) -> None:
    """What else can't be read is tried on the reader itself; here is what a user sees of it."""
    file = tmp_path / "given.yaml"
    file.write_text("a: [")
    done = judge(file)
    assert done.returncode == 4
    assert "is not YAML" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_promtool_that_hangs_is_a_sentence_and_neither_green_nor_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "promtool"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(promtool, "TIMEOUT_S", 0.1)
    groups = {"spec": {"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "vector(1)"}]}]}}
    with pytest.raises(promtool.NotJudged, match=r"`promtool check rules rules.yaml` gave no answer within 0.1 s"):
        promtool.check(hanging, Obj({"kind": "PrometheusRule", **groups}, "given"))


def test_each_object_is_judged_by_name_and_rules_that_judged_nothing_say_so(tmp_path: Path) -> None:
    """One that keeps every promise is green, one of an unknown kind is not, and what judged none is listed."""
    file = tmp_path / "given.yaml"
    file.write_text(yaml.safe_dump_all([CONFIG_MAP, {**CONFIG_MAP, "kind": "ConfigMapp"}]))
    done = judge(file)
    assert done.returncode == 1
    assert "v1 ConfigMapp is no kind that is known; did you mean ConfigMap?" in done.stdout
    assert "1 failed" in done.stdout
    assert "schema-valid 2" in done.stdout
    assert "judged none, so nothing is proven:" in done.stdout
    verdict = json.loads((tmp_path / "reports" / "latest" / "verdict.json").read_text())
    assert verdict["narrowed"] == ["suites/static", f"manifests={file}"]


@pytest.mark.parametrize(("count", "tests"), [(MOST_CASES, MOST_CASES), (MOST_CASES + 1, 1)])
def test_very_many_objects_of_a_kind_share_a_test(count: int, tests: int) -> None:
    assert len(cases(judgements(count))) == tests


def test_a_shared_test_counts_what_is_broken_and_keeps_each_message() -> None:
    (case,) = cases([*judgements(MOST_CASES), *judgements(2, Problem("data", "is wrong", "mend it"))])
    assert str(case).startswith(
        f"2 of {MOST_CASES + 2} objects of kind ConfigMap break promise; the first is ConfigMap"
    )
    assert "ConfigMap default/a0, data: is wrong" in str(case)
    assert "ConfigMap default/a1, data: is wrong" in str(case)


def test_an_object_that_two_deployments_share_is_told_once_unless_it_breaks_a_promise() -> None:
    kept, more, broken = judgements(2), judgements(3), judgements(2, Problem("data", "is wrong", "mend it"))
    assert told_once({"one": kept, "two": more})["two"] == tuple(more[2:])
    assert told_once({"one": kept, "two": broken})["two"] == tuple(broken)
    assert told_once({"one": broken, "two": kept})["two"] == tuple(kept)
