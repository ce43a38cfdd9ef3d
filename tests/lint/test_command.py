"""The suite as a user runs it: `pytest suites/static --manifests ...`."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}


def judge(*args: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "suites/static",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "fixtures.static",
        *args,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    ("text", "says"), [("", "holds no objects"), ("a: [", "is not YAML"), ("- 1\n", "a list and not an object")]
)
def test_bad_input_ends_with_a_sentence_and_exit_code_4(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "given.yaml"
    file.write_text(text)
    done = judge("--manifests", str(file))
    assert done.returncode == 4
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unknown_kind_fails_by_name_and_says_which_rules_judged_nothing(tmp_path: Path) -> None:
    file = tmp_path / "given.yaml"
    file.write_text(yaml.safe_dump({**CONFIG_MAP, "kind": "ConfigMapp"}))
    done = judge("--manifests", str(file))
    assert done.returncode == 1
    assert "v1 ConfigMapp is no kind that is known; did you mean ConfigMap?" in done.stdout
    assert "judged none, so nothing is proven:" in done.stdout


def test_objects_that_keep_every_promise_pass(tmp_path: Path) -> None:
    file = tmp_path / "given.yaml"
    file.write_text(yaml.safe_dump(CONFIG_MAP))
    done = judge("--manifests", str(file))
    assert done.returncode == 0, done.stdout
    assert "schema-valid 1" in done.stdout
