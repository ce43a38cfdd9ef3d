"""The generator holds its rate, counts what a stall did, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from shakedown.ledger import now
from shakedown.serving import Endpoint
from shakedown.shapes import steady, step
from shakedown.verdict import Inconclusive, UnusableEnvironment
from shakedown.wait import NotYet, eventually
from tests.load.conftest import Bed, answer_of

ROOT = Path(__file__).parents[2]


def test_every_request_is_in_the_ledger_once_with_what_became_of_it(bed: Bed) -> None:
    """Nothing is sent that isn't counted, and nothing counted that wasn't due."""
    with bed.load.running(steady(50, seconds=3)) as traffic:
        window = traffic.finish()
    assert window.sent == 150
    window.assert_none_failed()
    window.assert_none_wrong({2})
    assert window.by_version() == {2: 150}
    written = [event.fields for event in bed.ledger.events() if event.kind == "request"]
    assert len(written) == 150
    assert written[0].keys() == {"flow", "protocol", "scheduled", "seconds", "code", "version", "right", "said"}


def test_a_shape_is_followed(bed: Bed) -> None:
    """Each part of a shape has the rate that it says."""
    with bed.load.running(step([20, 60], seconds=2)) as traffic:
        traffic.finish()
        parts = [traffic.window(traffic.began + start, traffic.began + start + 2).sent for start in (0, 2)]
    assert parts == [40, 120]


def test_a_stall_is_counted_and_not_omitted(bed: Bed) -> None:
    """As many requests are due during a stall as before it, and each is as late as its user saw it."""
    with bed.load.running(steady(40, seconds=60)) as traffic:
        calm = traffic.collect(2)
        bed.answering.delay = 1.5
        stalled = traffic.collect(2)
        bed.answering.delay = 0.0
    assert calm.sent == pytest.approx(80, abs=2)
    assert stalled.sent == pytest.approx(80, abs=2)
    assert calm.quantile(0.5) < 0.5
    assert stalled.quantile(0.5) > 1.4


def test_a_window_is_judged_with_what_a_stalled_generator_sent_late(bed: Bed) -> None:
    """No request that was due in it comes after it was judged, at whatever phase of the generator the stall falls."""
    with bed.load.running(steady(7, seconds=60)) as traffic:
        windows = []
        generator = traffic.crew.senders[0].process
        for phase in np.arange(0.0, 0.2, 0.03):  # of the 0.2 s between two of its words
            traffic.collect(0.3 + phase)
            start = now()
            generator.send_signal(signal.SIGSTOP)
            time.sleep(0.8)
            generator.send_signal(signal.SIGCONT)
            windows.append(traffic.window(start, start + 0.7))
        traffic.collect(1)
        for window in windows:
            assert window.sent == traffic.slice(window.start, window.end).sent == pytest.approx(5, abs=1)
            assert window.lateness > 0.5


def test_a_generator_that_hangs_is_no_evidence(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its silence is not a failure of the servers; one that doesn't end when it is told to is named, and killed."""
    monkeypatch.setattr("shakedown.load.END_S", 2.0)
    with bed.load.running(steady(20, seconds=60)) as traffic:
        traffic.collect(0.5)
        generator = traffic.crew.senders[0].process
        generator.send_signal(signal.SIGSTOP)
        with pytest.raises(Inconclusive, match=r"goes on: not within 2\.5 s.*generator 0, whose requests are all told"):
            traffic.collect(0.5)
    assert generator.returncode == -signal.SIGKILL
    assert "load steady 20/s rest #1 never said that it ended; last heard of: generator 0" in capsys.readouterr().err


def test_errors_and_wrong_answers_are_told_apart(bed: Bed) -> None:
    """An error is a failure, a foreign answer is wrong, another version's answer is that version's."""
    with bed.load.running(steady(40, seconds=60)) as traffic:
        bed.answering.code = 503
        failed = traffic.collect(1)
        bed.answering.code, bed.answering.body = 200, answer_of(1)
        other = traffic.collect(1)
        bed.answering.body = answer_of(1).replace(b"1.0", b"0.5")
        wrong = traffic.collect(1)
    assert failed.failed >= 39
    assert failed.failures[5].code == 503
    assert other.wrong == 0
    assert other.by_version().get(1, 0) >= 39
    assert wrong.wrong >= 39


def test_grpc_is_sent_and_judged_alike(bed: Bed) -> None:
    """Over gRPC the version is the one that the server names, and the answer must be its own."""
    with bed.load.running(steady(40, seconds=3), "grpc") as traffic:
        window = traffic.finish()
    window.assert_none_failed()
    window.assert_none_wrong({2})
    assert window.sent == 120


def test_a_server_that_is_gone_gives_failures_and_not_silence(bed: Bed) -> None:
    """Every request to a closed port is a failed one."""
    gone = Endpoint("gone", "http://127.0.0.1:9", "127.0.0.1:9")
    with type(bed.load)(gone, "digits", bed.load.oracle, bed.ledger).running(steady(50, seconds=2)) as traffic:
        window = traffic.finish()
    assert window.sent == window.failed == 100
    assert window.failures[0].code == 0
    assert "refused" in window.failures[0].said


def test_a_generator_that_dies_is_no_evidence(bed: Bed) -> None:
    """Where the generator ends before its load does, nothing is judged."""
    with bed.load.running(steady(40, seconds=60)) as traffic:
        traffic.crew.senders[0].process.kill()
        with pytest.raises(Inconclusive, match="ended with code -9"):
            traffic.collect(5)


def test_a_load_that_has_ended_is_not_waited_for(bed: Bed) -> None:
    """What was never sent is not judged."""
    with bed.load.running(steady(40, seconds=1)) as traffic:
        traffic.finish()
        with pytest.raises(Inconclusive, match="had ended"):
            traffic.collect(2)


def test_load_goes_nowhere_but_to_this_machine(bed: Bed) -> None:
    """An address that isn't this machine's own is refused before anything is sent."""
    with pytest.raises(UnusableEnvironment, match=r"not to 192\.0\.2\.1"):
        type(bed.load)(Endpoint("far", "http://192.0.2.1:80", "127.0.0.1:1"), "digits", bed.load.oracle, bed.ledger)


RUNNER = """
import sys, time
from pathlib import Path
from shakedown.ledger import Ledger
from shakedown.load import Load
from shakedown.oracle import Oracle
from shakedown.serving import Endpoint
from shakedown.shapes import steady, step
from tests.load.conftest import GOLDEN, IMAGES
endpoint = Endpoint("null", sys.argv[1], "127.0.0.1:1")
with Load(endpoint, "digits", Oracle(IMAGES, GOLDEN, 1e-4), Ledger(Path(sys.argv[2]))).running(steady(20, 600)) as load:
    print(load.crew.senders[0].process.pid, flush=True)
    time.sleep(600)
"""


def test_a_killed_runner_leaves_no_generator_behind(bed: Bed, tmp_path: Path) -> None:
    """Load stops by itself when the run that asked for it is killed."""
    command = [sys.executable, "-c", RUNNER, bed.load.endpoint.rest, str(tmp_path / "other.jsonl")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        assert psutil.pid_exists(pid)
        runner.send_signal(signal.SIGKILL)
    killed = now()

    def gone() -> None:
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            raise NotYet(f"pid {pid} lives {now() - killed:.1f} s later")

    eventually(gone, within=20)
