"""A soak is drawn by its seed, and a failing one is made small."""

from collections.abc import Sequence
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from shakedown.settings import Deployment
from shakedown.soak import Turn, drawn, smallest
from shakedown.verdict import Failed
from suites.recovery import test_soak
from suites.recovery.test_soak import Soak

MOVES = ("delete", "kill", "roll-out", "dns")


def test_the_same_seed_draws_the_same_and_a_longer_soak_begins_like_a_shorter_one() -> None:
    turns = drawn(7, MOVES, (20, 50), 12)
    assert turns == drawn(7, MOVES, (20, 50), 12)
    assert turns[:5] == drawn(7, MOVES, (20, 50), 5)
    assert turns != drawn(8, MOVES, (20, 50), 12)
    assert {len(set(turn.moves)) for turn in turns} == {1, 2}


def test_a_failing_soak_is_shrunk_to_the_turns_that_it_takes() -> None:
    turns = tuple(Turn((str(number),), 50) for number in range(10))
    asked = []

    def fails(part: Sequence[Turn]) -> bool:
        asked.append(part)
        names = [turn.moves[0] for turn in part]
        return "3" in names and "8" in names

    assert [turn.moves[0] for turn in smallest(turns, fails, tries=60)] == ["3", "8"]
    assert len(asked) <= 60


def test_shrinking_ends_with_its_tries_and_keeps_only_what_was_seen_to_fail() -> None:
    turns = tuple(Turn((str(number),), 50) for number in range(10))
    assert smallest(turns, lambda _: False, tries=100) == turns
    assert len(smallest(turns, lambda _: True, tries=2)) < len(turns)
    assert smallest(turns[:1], lambda _: True, tries=5) == turns[:1]


def test_a_soak_that_fails_names_its_seed_and_turn_and_fewer_that_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def turn(_: Soak, turn: Turn) -> object:
        if set(turn.moves) == {"kill", "dns"}:
            raise Failed("7 predictions failed, 5 may")
        return SimpleNamespace(traffic=SimpleNamespace(failed=0, sent=100))

    monkeypatch.setattr(Soak, "turn", turn)
    monkeypatch.setattr(test_soak, "pods", lambda *_: ["a", "b", "c"])
    monkeypatch.setattr(test_soak, "selector_of", lambda _: "app=any")
    turns = drawn(3, test_soak.MOVES, test_soak.RATES, test_soak.MOST_TURNS)
    number, broken = next((at, each) for at, each in enumerate(turns, 1) if set(each.moves) == {"kill", "dns"})
    arena, stack, pace = Mock(), Mock(), Mock(restarted=1.0, drained=1.0)
    with pytest.raises(Failed) as told:
        test_soak.test_soak_keeps_every_promise(arena, Mock(), stack, Deployment(), pace, (600.0, 3), Mock())
    said, _, least = str(told.value).partition("; the smallest that fails: ")
    assert said == f"seed 3, turn {number} ({broken}): 7 predictions failed, 5 may"
    assert least.endswith(str(broken))
    assert len(least.split("; ")) < number
