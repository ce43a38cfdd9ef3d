"""The plugin is tried on small runs of pytest in a process of their own, as a user meets it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parents[2]

CONFTEST = 'pytest_plugins = ["fixtures.options", "fixtures.verdicts", "fixtures.terminal"]'
HEADER = "import pytest\nfrom fixtures.run import RUN\nfrom shakedown.verdict import Failed, Inconclusive\n"


@dataclass(frozen=True)
class Outcome:
    """What a small run came to."""

    code: int
    verdict: dict[str, Any]
    shown: str


class Suite:
    """A suite of one file."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.root = pytester, pytester.path
        pytester.makeconftest(CONFTEST)
        pytester.makeini("[pytest]\naddopts = -p no:locust --strict-markers --import-mode=importlib")
        (self.root / "suites" / "health").mkdir(parents=True)

    def run(self, body: str, *options: str) -> Outcome:
        (self.root / "suites" / "health" / "test_it.py").write_text(HEADER + body)
        result = self.pytester.runpytest_subprocess("suites", *options)
        verdict = self.root / "reports" / "latest" / "verdict.json"
        shown = result.stdout.str() + result.stderr.str()
        return Outcome(int(result.ret), json.loads(verdict.read_text()) if verdict.exists() else {}, shown)


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    return Suite(pytester)


def test_proven_promises_are_listed_with_their_evidence_and_those_not_asked_beside_them(suite: Suite) -> None:
    ended = suite.run(
        "@pytest.mark.smoke\ndef test_one_is_one(evidence):\n    evidence('saw 1')\n"
        "@pytest.mark.conformance\ndef test_long(evidence):\n    evidence('saw long')\n",
        "--profile=smoke",
    )
    assert ended.code == 0
    assert "proven     health: one is one: saw 1" in ended.shown
    assert "not asked  health: long: not asked by profile smoke" in ended.shown
    assert ended.verdict["counts"] == {"passed": 1, "failed": 0, "inconclusive": 0, "not proven": 1}
    assert (suite.root / "reports" / "latest" / "junit.xml").exists()


def test_what_a_back_end_lacks_is_not_asked_of_it_and_says_why(suite: Suite) -> None:
    tests = (
        "def test_both(evidence):\n    evidence('saw both')\n"
        "@pytest.mark.asks_for('grpc')\ndef test_one(evidence):\n    evidence('saw one')\n"
    )
    ended = suite.run(tests, "--backend=torchserve")
    assert ended.code == 0
    assert "proven     health: both: saw both" in ended.shown
    assert "not asked  health: one: not asked of TorchServe: its gRPC is another protocol" in ended.shown
    assert suite.run(tests).verdict["counts"]["passed"] == 2


def test_a_run_that_is_told_to_ask_less_than_its_profile_says_so(suite: Suite) -> None:
    tests = "def test_one(evidence):\n    evidence('saw 1')\ndef test_two(evidence):\n    evidence('saw 2')\n"
    assert suite.run(tests).verdict["narrowed"] == []
    chosen = suite.run(tests, "-k", "one")
    assert chosen.code == 0
    assert chosen.verdict["narrowed"] == ["keyword=one"]
    assert "not asked  health: two: left out of this run" in chosen.shown
    assert suite.run(tests, "suites/health/test_it.py::test_one").verdict["narrowed"] == []
    suite.pytester.runpytest_subprocess("suites/health")
    verdict = json.loads((suite.root / "reports" / "latest" / "verdict.json").read_text())
    assert verdict["narrowed"] == ["suites/health"]


def test_what_was_not_judged_is_not_green(suite: Suite) -> None:
    ended = suite.run(
        "@pytest.fixture\ndef broken():\n    raise Inconclusive('no samples')\n"
        "def test_proven(evidence):\n    evidence('saw')\n"
        "def test_empty():\n    pass\n"
        "def test_blank(evidence):\n    evidence(' ')\n"
        "def test_skipped():\n    pytest.skip('no cluster')\n"
        "def test_few(evidence):\n    raise Inconclusive('3 samples of 100')\n"
        "def test_set_up(broken):\n    pass\n"
    )
    assert ended.code == 6
    assert "NOT JUDGED health: empty: the test passed but recorded no evidence" in ended.shown
    assert "NOT JUDGED health: skipped: skipped: no cluster" in ended.shown
    assert "NOT JUDGED health: few: 3 samples of 100" in ended.shown
    assert "NOT JUDGED health: set up: in setup: no samples" in ended.shown
    assert "1 proven, 5 not judged" in ended.shown


def test_a_failure_outweighs_all_else_and_is_told_with_its_reason(suite: Suite) -> None:
    ended = suite.run(
        "@pytest.fixture\ndef leaky():\n    yield\n    raise Failed('pod stays')\n"
        "@pytest.fixture(scope='module')\ndef shared():\n    raise Failed('stack is down')\n"
        "@pytest.fixture\ndef tidy():\n    yield\n"
        "@pytest.fixture\ndef unsure():\n    yield\n    raise Inconclusive('cannot tell')\n"
        "def test_kept(unsure, evidence):\n    raise Failed('truly broken')\n"
        "def test_gone(tidy, evidence):\n    evidence('a')\n    raise Failed('pod p is gone')\n"
        "def test_error(evidence):\n    1 / 0\n"
        "def test_clean_up(leaky, evidence):\n    evidence('saw')\n"
        "def test_first(shared):\n    pass\n"
        "def test_second(shared):\n    pass\n"
        "def test_few(evidence):\n    raise Inconclusive('few')\n"
    )
    assert ended.code == ended.verdict["exit_code"] == 1
    assert "FAILED     health: gone: pod p is gone" in ended.shown
    assert "FAILED     health: kept: truly broken" in ended.shown
    assert "FAILED     health: error: ZeroDivisionError: division by zero" in ended.shown
    assert "FAILED     health: clean up: in teardown: pod stays" in ended.shown
    assert "FAILED     health: first: in setup: stack is down" in ended.shown
    assert "NOT JUDGED health: second: in setup: it needs what failed before: stack is down" in ended.shown


def test_an_environment_that_is_missing_ends_the_run_with_its_own_words(suite: Suite) -> None:
    ended = suite.run(
        "@pytest.fixture(scope='session')\ndef env():\n    pytest.exit('nothing could be judged: no engine', 6)\n"
        "def test_x(env):\n    pass\ndef test_y(env):\n    pass\n"
    )
    assert ended.code == 6
    assert ended.verdict["ended_early"] == "nothing could be judged: no engine"
    assert ended.verdict["counts"]["not proven"] == 2


def test_a_cluster_that_dies_ends_the_run_and_is_no_failure_of_the_deployment(suite: Suite) -> None:
    ended = suite.run(
        "class Dead:\n    name = 'c'\n    def silence(self):\n        return 'connection refused'\n"
        "@pytest.fixture(scope='session')\ndef cluster(pytestconfig):\n"
        "    pytestconfig.stash[RUN].cluster = Dead()\n    yield\n"
        "    pytestconfig.stash[RUN].cluster = None\n    raise RuntimeError('clean-up of a dead cluster')\n"
        "def test_x(cluster, evidence):\n    raise ConnectionError('refused')\n"
        "def test_y(cluster, evidence):\n    evidence('never')\n"
    )
    assert ended.code == 6
    assert ended.verdict["counts"] == {"passed": 0, "failed": 0, "inconclusive": 1, "not proven": 1}
    assert ended.verdict["ended_early"] == "cluster c doesn't answer any more: connection refused"


def test_a_misspelt_setting_ends_the_run_before_it_starts(suite: Suite) -> None:
    (suite.root / "shakedown.toml").write_text("profil = 'smoke'\n")
    ended = suite.run("def test_x():\n    pass\n")
    assert ended.code == 4
    assert "did you mean 'profile'?" in ended.shown


def test_the_projects_own_tests_make_no_report(suite: Suite) -> None:
    (suite.root / "tests").mkdir()
    (suite.root / "tests" / "test_it.py").write_text("def test_x():\n    assert True\n")
    result = suite.pytester.runpytest_subprocess("tests")
    assert result.ret == 0
    assert not (suite.root / "reports").exists()


def test_a_path_that_is_not_there_leaves_no_report(suite: Suite) -> None:
    result = suite.pytester.runpytest_subprocess("suites/nothing")
    assert result.ret == 4
    assert "file or directory not found: suites/nothing" in result.stderr.str()
    assert not (suite.root / "reports").exists()


@pytest.mark.parametrize("wrong", [("--settings", "nowhere.toml"), ("--profile", "smok"), ("--nothing",)])
def test_a_run_that_is_wrongly_called_leaves_nothing_and_the_latest_is_the_one_before(
    suite: Suite, wrong: tuple[str, ...]
) -> None:
    suite.run("def test_x(evidence):\n    evidence('1')\n")
    before = {path: path.resolve() for path in (suite.root / "reports").iterdir()}
    assert suite.run("def test_x(evidence):\n    evidence('1')\n", *wrong).code == 4
    assert {path: path.resolve() for path in (suite.root / "reports").iterdir()} == before


def test_a_run_is_kept_where_it_is_told_to(suite: Suite) -> None:
    ended = suite.run("def test_x(evidence):\n    evidence('1')\n", f"--reports={suite.root.parent / 'else where'}")
    assert ended.code == 0
    assert f"report: {suite.root.parent}/else where/" in ended.shown
    assert (suite.root.parent / "else where" / "latest" / "report.html").exists()
    assert not (suite.root / "reports").exists()


def test_a_folder_that_can_hold_no_reports_is_a_sentence(suite: Suite) -> None:
    ended = suite.run("def test_x(evidence):\n    evidence('1')\n", "--reports=conftest.py")
    assert ended.code == 4
    assert "--reports: Not a directory" in ended.shown


def test_a_file_that_cannot_be_collected_leaves_no_green(suite: Suite) -> None:
    (suite.root / "suites" / "health" / "test_broken.py").write_text("import no_such_module\n")
    ended = suite.run("def test_x(evidence):\n    evidence('1')\n", "--continue-on-collection-errors")
    assert ended.code == 6
    assert ended.verdict["exit_code"] == 6
    assert ended.verdict["ended_early"] == "suites/health/test_broken.py could not be collected"


def test_a_failure_beside_the_suites_leaves_no_green(suite: Suite) -> None:
    (suite.root / "tests").mkdir()
    (suite.root / "tests" / "test_own.py").write_text("def test_own():\n    assert False\n")
    assert suite.run("def test_x(evidence):\n    evidence('1')\n", "tests").code == 1


def test_values_of_its_own_by_which_a_run_judged_are_in_its_verdict(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "def test_x(evidence):\n    evidence('1')\n"
    assert suite.run(body).verdict["adjusted"] == {}
    monkeypatch.setenv("SHAKEDOWN_OBJECTIVES__LATENCY_P99", "60")
    assert suite.run(body).verdict["adjusted"] == {"objectives.latency_p99": 60}


def test_each_suite_is_told_when_it_begins_and_a_single_one_is_not(suite: Suite) -> None:
    case = "@pytest.mark.parametrize('path', ['a/b', 'c'])\ndef test_x(evidence, path):\n    evidence('1')\n"
    assert "suite 1 of" not in suite.run(case).shown
    (suite.root / "suites" / "static").mkdir()
    (suite.root / "suites" / "static" / "test_it.py").write_text(HEADER + "def test_y(evidence):\n    evidence('1')\n")
    shown = suite.run(case).shown.splitlines()
    assert [line for line in shown if line.startswith("suite ")] == [
        "suite 1 of 2: health, promises asked: 2",
        "suite 2 of 2: static, promises asked: 1",
    ]


def test_a_log_is_told_what_is_awaited_in_plain_text(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    ended = suite.run(
        "from shakedown.wait import NotYet, eventually\n"
        "def test_slow(evidence):\n"
        "    def pods_are_ready():\n        raise NotYet('1 of \\x1b[31m2 ready')\n"
        "    eventually(pods_are_ready, within=2.6)\n"
    )
    assert "test_slow: waiting 2 s (at most 1 s more) for: pods_are_ready | now: 1 of [31m2 ready" in ended.shown
    assert ended.shown.count("waiting 2 s") == 1
    assert "\x1b" not in ended.shown.partition("promises")[0].partition("= FAILURES =")[0]
    assert "report: reports/" in ended.shown
    assert (suite.root / "reports" / "latest" / "report.html").exists()
    assert (suite.root / "reports" / "latest" / "summary.md").exists()
