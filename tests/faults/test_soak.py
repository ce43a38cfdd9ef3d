"""A soak is drawn by its seed, and a failing one is made small."""

from collections.abc import Sequence

from shakedown.soak import Turn, drawn, smallest

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
