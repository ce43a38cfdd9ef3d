"""Sequences of disturbances that a seed draws, and the smallest part of one that still fails."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """One turn of a soak: the disturbances that come at once, and the predictions a second that go on meanwhile."""

    moves: tuple[str, ...]
    rate: float

    def __str__(self) -> str:
        return f"{' + '.join(self.moves)} at {self.rate:g}/s"


def drawn(seed: int, moves: Sequence[str], rates: Sequence[float], count: int) -> tuple[Turn, ...]:
    """So many turns, each with one or two different moves; the same for the same seed, and longer ones begin alike."""
    dice = random.Random(seed)  # noqa: S311 - drawing faults is not cryptography
    turns = []
    for _ in range(count):
        chosen = dice.sample(list(moves), dice.choice((1, 2)))
        turns.append(Turn(tuple(chosen), dice.choice(list(rates))))
    return tuple(turns)


def smallest(turns: Sequence[Turn], fails: Callable[[Sequence[Turn]], bool], tries: int) -> tuple[Turn, ...]:
    """The shortest part of a failing sequence that was found to fail too, within so many tries.

    Halves first, then single turns are left out; a part is kept only where it was seen to fail.
    """
    left, size = tuple(turns), max(1, len(turns) // 2)
    while tries > 0 and len(left) > 1:
        parts = [left[:at] + left[at + size :] for at in range(0, len(left), size)]
        for part in parts:
            tries -= 1
            if part and fails(part):
                left = part
                break
            if tries <= 0:
                return left
        else:
            if size == 1:
                return left
            size = max(1, size // 2)
        size = min(size, max(1, len(left) // 2))
    return left
