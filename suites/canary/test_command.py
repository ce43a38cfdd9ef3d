"""The promotion as a pipeline runs it: its exit code is the verdict, and users get what it says."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.canary import SETTLED_S, Canary, another_release
from fixtures.verdicts import Evidence
from models.canary import GOOD, PERMUTED, STABLE
from shakedown.cluster import Cluster
from shakedown.generators import ROOT
from shakedown.load import Traffic
from shakedown.progress import plain
from shakedown.replay import Recording
from shakedown.window import Window

pytestmark = pytest.mark.test_bed
SHARES = "10,100"  # two steps show what four do: test_verdicts.py takes them all
RATE = 80  # testers' requests a second
KEPT = 600  # recorded requests; 523 show two points less accuracy at the command's own error rates
LONGEST_S = 180.0  # of one command
AFTER_S = 1.5  # of users' load after it


@pytest.fixture
def place(canary: Canary, cluster: Cluster) -> list[str]:
    """The options that say where the canary's share is set."""
    stable, own = canary.services
    return [
        *(f"--namespace={canary.names.namespace}", f"--route={canary.names.workload}"),
        *(f"--stable={stable}", f"--canary={own}"),
        *(f"--context={cluster.context}", f"--kubeconfig={cluster.kubeconfig}", f"--kubectl={cluster.kubectl_bin}"),
    ]


@pytest.fixture
def promotion(canary: Canary, recording: Recording, place: list[str], tmp_path: Path) -> list[str]:
    """The command for the canary, but for the version that it must serve."""
    kept = tmp_path / "recorded.json"
    requests = {"instances": recording.images[:KEPT].tolist(), "labels": recording.labels[:KEPT].tolist()}
    kept.write_text(json.dumps(requests))
    door = (canary.door.rest, f"--host={canary.door.host}", f"--model={canary.names.model}", "--header=x-canary=1")
    return ["promote", *door, f"--input={kept}", f"--steps={SHARES}", f"--rate={RATE}", *place]


def begun(arguments: list[str]) -> "subprocess.Popen[str]":
    """A command of the library in a process of its own."""
    command = [sys.executable, "-m", "shakedown", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """A command's exit code and words; one that hangs is killed, and raises TimeoutExpired."""
    with process:
        try:
            said, _ = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, plain(said)


def settled(users: Traffic) -> Window:
    """Users' answers once the gateway deals them out as it was told last."""
    users.collect(SETTLED_S)
    return users.collect(AFTER_S)


def test_promoted_canary_has_all_users_until_it_is_turned_back(
    canary: Canary, promotion: list[str], place: list[str], evidence: Evidence
) -> None:
    """Exit code 0: every user is the canary's; after `turn-back` nobody is; no answer is lost or wrong meanwhile."""
    with canary.users() as users:
        code, said = ended(begun([*promotion, f"--version={GOOD}"]))
        promoted = settled(users)
        back, _ = ended(begun(["turn-back", *place]))
        returned = settled(users)
        whole = users.window(users.began, returned.end)
    assert code == 0, f"exit code {code}: {said}"
    assert set(promoted.by_version()) == {GOOD}, f"once promoted users are answered by {promoted.by_version()}"
    assert (back, set(returned.by_version())) == (0, {STABLE}), f"turned back, {returned.by_version()}"
    whole.assert_none_failed()
    whole.assert_none_wrong({STABLE, GOOD})
    evidence(f"{said}; {whole}")


def test_bad_canary_ends_the_promotion_with_exit_code_1_and_has_no_user_left(
    canary: Canary, promotion: list[str], evidence: Evidence
) -> None:
    """Exit code 1: found bad at the first step, and all users are the stable version's again."""
    with another_release(canary, PERMUTED), canary.users() as users:
        code, said = ended(begun([*promotion, f"--version={PERMUTED}"]))
        returned = settled(users)
    assert code == 1, f"exit code {code}: {said}"
    assert "the canary is bad at 10 %" in said, said
    returned.assert_none_failed()
    assert set(returned.by_version()) == {STABLE}, f"turned back, users get {returned.by_version()}; it said: {said}"
    evidence(said)


@pytest.mark.conformance
def test_promotion_that_is_cancelled_in_the_middle_leaves_the_canary_no_user(
    canary: Canary, promotion: list[str], evidence: Evidence
) -> None:
    """A CI job that is cancelled while a share is judged: exit code 6, and all users are the stable version's again."""
    with canary.users() as users:
        process = begun([*promotion, f"--version={GOOD}"])
        assert process.stdout is not None
        first = next((line for line in process.stdout if line.startswith("share")), "")
        met = settled(users).by_version().get(GOOD, 0)
        process.send_signal(signal.SIGTERM)
        code, said = ended(process)
        returned = settled(users)
    assert code == 6, f"exit code {code}: {first}{said}"
    assert met, f"nobody met the canary before the promotion was cancelled: {first}{said}"
    assert set(returned.by_version()) == {STABLE}, f"cancelled, users are answered by {returned.by_version()}"
    evidence(f"{met} users had met the canary; {said}")
