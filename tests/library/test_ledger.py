import multiprocessing
from pathlib import Path

import pytest

from shakedown.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


def test_a_window_holds_its_ends_and_nothing_else(ledger: Ledger) -> None:
    for at in (1.0, 2.0, 3.0, 4.0):
        ledger.record("request", at=at, code=200)
    ledger.record("mark", at=2.5, name="between")
    assert [e.at for e in ledger.window(2.0, 3.0)] == [2.0, 2.5, 3.0]
    assert [e.at for e in ledger.window(2.0, 3.0, kind="request")] == [2.0, 3.0]


def test_a_window_without_an_end_goes_to_now(ledger: Ledger) -> None:
    starts = [ledger.mark("start") for _ in range(50)]  # whatever its last digits, a window holds its own start
    ledger.record("request", code=200)
    found = [ledger.window(start) for start in starts]
    assert [len(window) for window in found] == [51 - number for number in range(50)]


def test_events_come_by_time_whatever_the_order_of_writing(ledger: Ledger) -> None:
    for at in (9.0, 7.0, 8.0):
        ledger.record("request", at=at)
    assert [e.at for e in ledger.events() if e.kind == "request"] == [7.0, 8.0, 9.0]


def test_a_line_cut_short_by_a_killed_writer_loses_nothing_else(ledger: Ledger) -> None:
    ledger.record("request", at=1.0)
    with ledger.path.open("a") as file:
        file.write('{"at": 2.0, "ki')
    assert [e.at for e in ledger.window(0.0, 5.0)] == [1.0]


def write_many(path: str, writer: int) -> None:
    ledger = Ledger(Path(path))
    for number in range(500):
        ledger.record("request", writer=writer, number=number, padding="x" * 200)


def test_writers_in_several_processes_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(str(path), writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    seen = {(e.fields["writer"], e.fields["number"]) for e in Ledger(path).events() if e.kind == "request"}
    assert len(seen) == 1500
