"""A load that several generators send is the load that one sends: its shape, its ledger, its verdicts."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locustfiles.order import Order
from shakedown.cluster import Cluster
from shakedown.far import MASTER, PROGRAM, Clock, clock_of, crew_of
from shakedown.generators import Crew
from shakedown.ledger import Ledger, now
from shakedown.load import Load, Seen
from shakedown.load_workers import Workers, pod_manifest
from shakedown.orders import ASK, MOMENT, CutShort, framed, unframed
from shakedown.settings import Provider
from shakedown.shapes import Shape, steady, step
from shakedown.verdict import Inconclusive, UnusableEnvironment
from tests.load.conftest import Bed

ROOT = Path(__file__).parents[2]
STILL_S = 8.0  # locust's own patience with a worker is 3 to 5 s


@dataclass(frozen=True)
class Beside:
    """Master and workers as in a cluster, but as processes of this machine."""

    workers: int

    def address(self, address: str) -> str:
        return address

    @contextmanager
    def running(self, order: Mapping[str, Any], bodies: bytes, ledger: Ledger) -> Iterator[Crew]:
        command = (sys.executable, *PROGRAM[1:])
        names = [MASTER, *(f"worker-{number}" for number in range(self.workers))]
        with crew_of(dict.fromkeys(names, command), "127.0.0.1", order, bodies, ledger) as crew:
            yield crew


@pytest.fixture
def load(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return replace(bed.load, way=Beside(2))


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_two_workers_send_the_shape_that_one_generator_sends(bed: Bed, load: Load, protocol: Any) -> None:
    """Every request is in the ledger once, due when the shape has it due, and answered rightly."""
    shape = step([20, 60], seconds=2)
    with load.running(shape, protocol) as traffic:
        window = traffic.finish()
    window.assert_none_failed()
    window.assert_none_wrong({2})
    due = np.array([each.scheduled for each in window.requests]) - traffic.began
    assert due == pytest.approx(shape.arrivals(), abs=1e-5)
    events = list(bed.ledger.events())
    assert sum(event.kind == "request" for event in events) == 160
    shares = {e.fields["worker"]: e.fields["sent"] for e in events if e.fields.get("step") == "ended"}
    assert shares == {0: 80, 1: 80}
    clocks = [event.fields for event in events if event.kind == "clock"]
    assert sorted(clock["worker"] for clock in clocks) == [-1, 0, 1]
    assert all(abs(clock["offset"]) <= clock["unsure"] for clock in clocks), "one machine has one clock"


def test_two_loads_go_on_at_once(load: Load) -> None:
    """Each has a master of its own, and workers that know no other."""
    with load.running(steady(20, seconds=60)) as first, load.running(steady(10, seconds=60), "grpc") as second:
        windows = first.collect(2), second.collect(1)
    for window, sent in zip(windows, (40, 10), strict=True):
        window.assert_none_failed(least=5)
        assert window.sent == pytest.approx(sent, abs=2)


def test_a_worker_that_dies_is_no_evidence(load: Load) -> None:
    """Where one of several ends before its load does, nothing is judged, and it is named."""
    with load.running(steady(40, seconds=60)) as traffic:
        traffic.collect(1).assert_none_failed(least=30)
        traffic.crew.senders[1].process.send_signal(signal.SIGKILL)
        with pytest.raises(Inconclusive, match="ended with code -9: load worker-1"):
            traffic.collect(5)


def test_a_worker_that_stands_still_for_a_while_goes_on_with_its_load(load: Load) -> None:
    """Nobody takes it for dead, ends it or starts it again: it is late, and that is told."""
    with load.running(steady(40, seconds=60)) as traffic:
        traffic.collect(1).assert_none_failed(least=30)
        halted = [child_of(each.process.pid) for each in traffic.crew.senders]
        start = now()
        for pid in halted:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(STILL_S)
        for pid in halted:
            os.kill(pid, signal.SIGCONT)
        window = traffic.window(start, now() + 3)
        after = traffic.collect(3)
    assert traffic.seen.ended is not None
    assert [each.process.returncode for each in traffic.crew.senders] == [0, 0]
    assert len({each.scheduled for each in traffic.seen.requests}) == len(traffic.seen.requests)
    assert window.sent == pytest.approx(40 * (window.end - window.start), abs=2)
    with pytest.raises(Inconclusive, match="s late"):
        window.assert_kept_up()
    after.assert_none_failed(least=110)


def child_of(pid: int) -> int:
    """The one process that it has started."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_a_worker_that_is_done_before_the_others_is_not_dead(bed: Bed, load: Load) -> None:
    """One waits for its last answer while the other has said its last word and gone: all of it is judged."""
    with load.running(steady(1, seconds=4)) as traffic:  # due after 0.5, 1.5, 2.5 and 3.5 s, by turns
        traffic.window(traffic.began, traffic.began + 2.8)
        bed.answering.delay = 4.0
        window = traffic.finish()
    assert [each.version for each in window.requests] == [2, 2, 2, 2]
    assert window.requests[-1].seconds == pytest.approx(4.0, abs=0.5)


def test_a_load_is_over_for_all_workers_when_its_block_ends(load: Load) -> None:
    """They come to an orderly end, with all that they sent in the ledger."""
    with load.running(steady(40, seconds=60)) as traffic:
        traffic.collect(1)
    assert [each.process.returncode for each in traffic.crew.senders] == [0, 0]
    assert traffic.seen.ended is not None
    assert len(traffic.seen.requests) == pytest.approx(40 * (traffic.seen.ended - traffic.began), abs=4)


def test_what_a_worker_cannot_do_is_said_in_its_own_words(load: Load) -> None:
    """A load that doesn't start says which generator failed, and why."""
    broken = replace(load, way=Elsewhere())
    with (
        pytest.raises(Inconclusive, match=r"load (master|worker-0): .*no-such-program"),
        broken.running(steady(40, seconds=60)),
    ):
        pass


class Elsewhere(Beside):
    """Its generators don't get started."""

    def __init__(self) -> None:
        super().__init__(1)

    @contextmanager
    def running(self, order: Mapping[str, Any], bodies: bytes, ledger: Ledger) -> Iterator[Crew]:
        broken = (sys.executable, "-m", "no-such-program")
        with crew_of({MASTER: broken, "worker-0": broken}, "127.0.0.1", order, bodies, ledger) as crew:
            yield crew


def order_of(shape: Shape, worker: int, workers: int) -> Order:
    order = object.__new__(Order)
    order.shape, order.worker, order.workers = shape, worker, workers
    return order


@given(rate=st.floats(0, 90), seconds=st.floats(0.5, 9), workers=st.integers(1, 7))
def test_shares_add_up_to_the_shape(rate: float, seconds: float, workers: int) -> None:
    shape = steady(rate, seconds)
    shares = [list(order_of(shape, worker, workers).share()) for worker in range(workers)]
    assert sorted(each for share in shares for each in share) == list(enumerate(shape.arrivals().tolist()))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def events(worker: int, *steps: tuple[str, float]) -> Iterator[dict[str, Any]]:
    for name, at in steps:
        if name == "beat":
            yield {"kind": "generator", "worker": worker, "at": at + 0.1, "cpu": 0.2 + worker / 2, "settled": at}
        else:
            yield {"kind": "load", "worker": worker, "step": name, "at": at}


def seen(*told: Iterator[dict[str, Any]]) -> Seen:
    found = Seen(2)
    for one in told:
        for event in one:
            found.take(event)
    return found


def test_a_load_has_begun_when_all_workers_have() -> None:
    assert seen(events(0, ("started", 5.0))).started is None
    assert seen(events(0, ("started", 5.0)), events(1, ("started", 4.0))).started == 4.0


def test_a_moment_is_settled_when_it_is_for_every_worker_that_still_sends() -> None:
    both = (("started", 1.0), ("beat", 2.0))
    assert seen(events(0, *both), events(1, ("started", 1.0))).settled == 0.0
    assert seen(events(0, *both), events(1, *both, ("beat", 3.0))).settled == 2.0
    one_ended = seen(events(0, *both, ("ended", 2.5)), events(1, *both, ("beat", 3.0)))
    assert (one_ended.settled, one_ended.ended) == (3.0, None)
    all_ended = seen(events(0, *both, ("ended", 2.5)), events(1, *both, ("ended", 4.0)))
    assert (all_ended.settled, all_ended.ended) == (4.0, 4.0)


def test_the_busiest_worker_says_how_busy_a_load_keeps_its_generators() -> None:
    assert seen(events(0, ("beat", 2.0)), events(1, ("beat", 2.0), ("beat", 9.0))).cpu(1, 5) == pytest.approx(0.7)


def test_moments_are_written_down_on_the_ledgers_clock() -> None:
    line = b'{"at":107.5,"kind":"request","flow":"f","scheduled":107.25,"seconds":0.5}'
    assert Clock(offset=7.0, unsure=0.001).shifted(line) == (
        b'{"at":100.5,"kind":"request","flow":"f","scheduled":100.25,"seconds":0.5}\n'
    )


class Told:
    """A generator's end of a pipe, whose clock goes ahead and which takes its time to answer."""

    def __init__(self, ahead: float, answers: int) -> None:
        reading, self.writing = os.pipe()
        self.stdin, self.stdout = self, os.fdopen(reading, "rb", buffering=0)
        self.ahead, self.answers = ahead, answers

    def write(self, content: bytes) -> int:
        assert content == ASK
        self.answers -= 1
        if self.answers < 0:
            os.close(self.writing)
        else:
            os.write(self.writing, MOMENT.pack(now() + self.ahead))
        return 1


def test_a_clock_is_known_by_its_quickest_answer() -> None:
    told: Any = Told(ahead=1000.0, answers=5)
    clock = clock_of(5, told)
    assert abs(clock.offset - 1000.0) <= clock.unsure < 0.05
    with pytest.raises(CutShort, match="0 of 8 bytes"):
        clock_of(1, told)


def pipe_of(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.mark.parametrize("content", [b"", b"an order", bytes(range(256)) * 100])
def test_an_order_comes_whole_or_not_at_all(content: bytes) -> None:
    sent = framed(content)
    assert unframed(pipe_of(sent + b"?")) == content
    with pytest.raises(CutShort, match=f"{len(sent[:-1]) - 40 if content else 39} of "):
        unframed(pipe_of(sent[:-1]))
    with pytest.raises(CutShort, match="not those that were sent"):
        unframed(pipe_of(framed(b"other")[:8] + framed(b"wrong")[8:40] + b"other"))


def workers_of(*, owned: bool = True) -> Workers:
    cluster = Cluster("c", Provider.KIND, Path("k"), "kind-c", Path("kubectl"), owned, gateway_port=8080)
    return Workers(cluster, "image:1", 2, "192.0.2.7:30080", 1)


def test_workers_go_to_the_front_door_of_their_cluster_and_nowhere_else() -> None:
    assert workers_of().address("127.0.0.1:8080") == "192.0.2.7:30080"
    for other in ("127.0.0.1:8081", "192.0.2.9:8080", "example.test:80"):
        with pytest.raises(UnusableEnvironment, match="front door only"):
            workers_of().address(other)


def test_a_worker_is_told_over_a_stream_that_still_ends_after_a_minute_of_silence() -> None:
    """Only a cluster shows that; what was measured there is in `Workers.inside`."""
    command = workers_of().inside("worker-0")
    assert command[:2] == ("env", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false")
    assert command[-len(PROGRAM) :] == PROGRAM


def test_a_pod_of_a_killed_run_ends_by_itself_and_may_do_nothing_before() -> None:
    spec: Any = pod_manifest("worker-0", "image:1")["spec"]
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
