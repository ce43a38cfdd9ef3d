"""The plugin is tried on small runs of pytest in a process of their own, as a user meets it."""

import json
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parents[2]

CONFTEST = 'pytest_plugins = ["fixtures.options", "fixtures.verdicts", "fixtures.terminal"]'
HEADER = "import pytest\nfrom shakedown.verdict import Failed, Inconclusive, UnusableEnvironment\n"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\naddopts = -p no:locust --strict-markers --import-mode=importlib")
    (pytester.path / "suites" / "health").mkdir(parents=True)
    return pytester


def outcome(suite: pytest.Pytester, body: str, *options: str) -> tuple[int, dict[str, object], str]:
    (suite.path / "suites" / "health" / "test_it.py").write_text(HEADER + body)
    result = suite.runpytest_subprocess("suites", *options)
    verdict = suite.path / "reports" / "latest" / "verdict.json"
    return int(result.ret), json.loads(verdict.read_text()) if verdict.exists() else {}, result.stdout.str()


def test_a_test_that_shows_evidence_is_proven(suite: pytest.Pytester) -> None:
    code, verdict, shown = outcome(suite, "def test_one_is_one(evidence):\n    evidence('saw 1')\n")
    assert code == 0
    assert verdict["counts"] == {"passed": 1, "failed": 0, "inconclusive": 0, "not proven": 0}
    assert "proven     health: one is one: saw 1" in shown
    assert (suite.path / "reports" / "latest" / "junit.xml").exists()


def test_a_test_that_passes_without_evidence_is_not_green(suite: pytest.Pytester) -> None:
    code, _, shown = outcome(suite, "def test_nothing():\n    pass\n")
    assert code == 6
    assert "NOT JUDGED health: nothing: the test passed but recorded no evidence" in shown


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("def test_x(evidence):\n    raise Inconclusive('3 samples of 100')", 6, "NOT JUDGED health: x: 3 samples"),
        ("def test_x(evidence):\n    raise Failed('pod p is gone')", 1, "FAILED     health: x: pod p is gone"),
        ("def test_x(evidence):\n    1 / 0", 1, "FAILED     health: x: ZeroDivisionError: division by zero"),
        ("def test_x():\n    pytest.skip('no cluster')", 6, "NOT JUDGED health: x: skipped: no cluster"),
        (
            "@pytest.fixture\ndef y():\n    raise Inconclusive('no y')\ndef test_x(y):\n    pass",
            6,
            "NOT JUDGED health: x: in setup: no y",
        ),
        (
            "@pytest.fixture\ndef y():\n    yield\n    raise Failed('y')\ndef test_x(y, evidence):\n    evidence('x')",
            1,
            "FAILED     health: x: in teardown: y",
        ),
    ],
    ids=["inconclusive", "failed", "error", "skipped", "set-up", "clean-up"],
)
def test_what_is_not_proven_is_not_green(suite: pytest.Pytester, body: str, code: int, line: str) -> None:
    exit_code, _, shown = outcome(suite, body)
    assert exit_code == code
    assert line in shown


def test_a_failure_outweighs_what_could_not_be_judged(suite: pytest.Pytester) -> None:
    body = "def test_x(evidence):\n    raise Failed('f')\ndef test_y(evidence):\n    raise Inconclusive('i')\n"
    code, verdict, _ = outcome(suite, body)
    assert code == 1
    assert verdict["exit_code"] == 1


def test_deselected_promises_are_listed_and_alone_are_not_green(suite: pytest.Pytester) -> None:
    body = (
        "@pytest.mark.smoke\ndef test_x(evidence):\n    evidence('saw x')\n"
        "@pytest.mark.conformance\ndef test_y(evidence):\n    evidence('saw y')\n"
    )
    code, verdict, shown = outcome(suite, body, "--profile", "smoke")
    assert code == 0
    assert "not asked  health: y" in shown
    assert verdict["counts"]["not proven"] == 1  # type: ignore[index] # JSON
    assert outcome(suite, body, "--profile", "conformance")[1]["counts"]["passed"] == 2  # type: ignore[index] # JSON
    assert outcome(suite, body.replace("@pytest.mark.smoke\n", ""), "--profile", "smoke")[0] in (5, 6)


def test_an_environment_that_is_missing_ends_the_run_with_its_own_words(suite: pytest.Pytester) -> None:
    body = (
        "@pytest.fixture(scope='session')\ndef env():\n    pytest.exit('nothing could be judged: no engine', 6)\n"
        "def test_x(env):\n    pass\ndef test_y(env):\n    pass\n"
    )
    code, verdict, shown = outcome(suite, body)
    assert code == 6
    assert "no engine" in shown
    assert verdict["counts"]["not proven"] == 2  # type: ignore[index] # JSON


def test_a_misspelt_setting_ends_the_run_before_it_starts(suite: pytest.Pytester) -> None:
    (suite.path / "shakedown.toml").write_text("profil = 'smoke'\n")
    (suite.path / "suites" / "health" / "test_it.py").write_text("def test_x():\n    pass\n")
    result = suite.runpytest_subprocess("suites")
    assert result.ret == 4
    assert "did you mean 'profile'?" in result.stderr.str()


def test_a_broken_promise_stays_broken_when_its_clean_up_succeeds(suite: pytest.Pytester) -> None:
    body = "@pytest.fixture\ndef y():\n    yield\n"
    body += "def test_x(y, evidence):\n    evidence('a')\n    raise Failed('broken')\n"
    code, verdict, _ = outcome(suite, body)
    assert code == 1
    assert verdict["promises"][0]["reason"] == "broken"  # type: ignore[index] # JSON


def test_the_projects_own_tests_make_no_report(suite: pytest.Pytester) -> None:
    (suite.path / "tests").mkdir()
    (suite.path / "tests" / "test_it.py").write_text("def test_x():\n    assert True\n")
    result = suite.runpytest_subprocess("tests")
    assert result.ret == 0
    assert not (suite.path / "reports").exists()
