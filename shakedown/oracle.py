"""Which answers are right: known images with what each version answers to them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Oracle:
    """Images (n, 784), each version's answers (n, 10), and how far a right answer may be from them.

    `tolerance` is absolute; it must be smaller than what lies between two versions' answers to any image.
    """

    images: Floats
    answers: Mapping[int, Floats]
    tolerance: float

    def mismatch(self, version: int, found: Floats, first: int = 0, count: int | None = None) -> str:
        """What is wrong with the answers to `count` images from `first` on; empty where they are the version's own.

        Without a count these are all the images that there are from there on.
        """
        wanted = self.answers[version][first:][:count]
        if found.shape != wanted.shape:
            return f"answers of shape {list(found.shape)}, wanted {list(wanted.shape)}"
        apart = np.abs(found - wanted).max(axis=1)
        wrong = np.flatnonzero(~(apart <= self.tolerance))  # a NaN is wrong too
        if not len(wrong):
            return ""
        row = int(wrong[0])
        at = first + row
        return (
            f"{len(wrong)} of {len(found)} answers are not version {version}'s, the first to image {at}:"
            f" {label(found[row])} where {label(wanted[row])} is right{self.hint(at, found[row])}"
        )

    def hint(self, row: int, found: Floats) -> str:
        """Whose answer it is instead, where another version's fits or the labels alone are out of place."""
        if other := self.version_of(row, found):
            return f"; it is version {other}'s answer"
        turned = [
            version
            for version, known in self.answers.items()
            if np.abs(np.sort(found) - np.sort(known[row])).max() <= self.tolerance
        ]
        return f"; they are version {turned[0]}'s probabilities under other labels" if turned else ""

    def version_of(self, row: int, found: Floats) -> int:
        """The version that answers this to an image; 0 where none does."""
        if found.shape != (10,):
            return 0
        fits = [v for v, known in self.answers.items() if np.abs(found - known[row]).max() <= self.tolerance]
        return fits[0] if fits else 0


def label(probabilities: Floats) -> str:
    """A digit and its probability, in words."""
    best = int(probabilities.argmax())
    return f"digit {best} ({probabilities[best]:.4f})"
