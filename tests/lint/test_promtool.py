from pathlib import Path

from shakedown.lint.objects import Obj
from shakedown.lint.promtool import ask_ahead, unit_test

SCRIPT = """#!/bin/sh
echo "$3" >> {log}
exit 1
"""


def rules(name: str) -> tuple[Obj]:
    group = {"name": name, "rules": []}
    return (Obj({"kind": "PrometheusRule", "metadata": {"name": name}, "spec": {"groups": [group]}}, name),)


def test_each_distinct_unit_test_is_asked_once_and_its_verdict_kept(tmp_path: Path) -> None:
    log, program, test = tmp_path / "log", tmp_path / "promtool", tmp_path / "alerts.promtest.yaml"
    program.write_text(SCRIPT.format(log=log))
    program.chmod(0o755)
    test.write_text("tests: []")
    ask_ahead(program, [(rules("one"), test), (rules("one"), test), (rules("two"), test)])
    assert log.read_text().splitlines() == [test.name] * 2
    unit_test(program, rules("two"), test)
    assert len(log.read_text().splitlines()) == 2
