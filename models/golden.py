"""What the models must answer, computed with TensorFlow in process when they were built; read without TensorFlow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Probabilities are float32 sums of up to 784 products. A server may add them in another order than the process that
# made the goldens (vector width, threads, batch size): 1.0e-6 was measured between batch and single answers. JSON
# prints floats so that they read back exactly. The build fails where batch and single answers differ by more than a
# tenth of this, or where two versions answer any golden image less than MIN_VERSION_DISTANCE apart.
TOLERANCE = 5e-5
MIN_VERSION_DISTANCE = 0.02

MIN_ACCURACY = 0.95  # of version 1; version 2 must be better

ARRAYS = "golden.npz"
SUMMARY = "golden.json"


class NotGoodEnoughError(Exception):
    """The trained models don't keep what the bundle promises."""


@dataclass(frozen=True)
class Answers:
    """One version's answers to the golden images, and its accuracy on the held-out split."""

    probabilities: NDArray[np.float32]  # (n, 10)
    scores: NDArray[np.float32]  # (n, 10), before softmax
    labels: NDArray[np.int64]  # (n,)
    accuracy: float  # 0..1, in process


@dataclass(frozen=True)
class Golden:
    """Golden images with the answers of each version, and the held-out split."""

    images: NDArray[np.float32]  # (n, 784) in 0..1
    versions: Mapping[int, Answers]
    held_out_images: NDArray[np.float32]  # (m, 784) in 0..1
    held_out_labels: NDArray[np.int64]  # (m,)

    @classmethod
    def load(cls, bundle: Path) -> "Golden":
        """Read the golden data of a bundle.

        Raises FileNotFoundError where the folder is not one that `models.build.bundle()` made.
        """
        summary = json.loads((bundle / SUMMARY).read_text())
        with np.load(bundle / ARRAYS) as arrays:
            return cls(
                images=arrays["images"],
                versions={
                    int(version): Answers(
                        probabilities=arrays[f"probabilities_{version}"],
                        scores=arrays[f"scores_{version}"],
                        labels=arrays[f"probabilities_{version}"].argmax(axis=1),
                        accuracy=accuracy,
                    )
                    for version, accuracy in summary["accuracy"].items()
                },
                held_out_images=arrays["held_out_images"],
                held_out_labels=arrays["held_out_labels"],
            )

    def save(self, bundle: Path) -> None:
        """Write the golden data into a bundle's folder."""
        answers = {f"probabilities_{version}": found.probabilities for version, found in self.versions.items()}
        answers |= {f"scores_{version}": found.scores for version, found in self.versions.items()}
        np.savez_compressed(
            bundle / ARRAYS,
            images=self.images,
            held_out_images=self.held_out_images,
            held_out_labels=self.held_out_labels,
            **answers,  # type: ignore[arg-type]  # numpy's stub takes them for its own option
        )
        summary = {
            "accuracy": {str(version): found.accuracy for version, found in self.versions.items()},
            "held_out": len(self.held_out_labels),
            "tolerance": TOLERANCE,
        }
        (bundle / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")

    def check(self) -> None:
        """Raise NotGoodEnoughError unless version 1 is good, version 2 better, and no golden answer fits both."""
        first, second = self.versions[1], self.versions[2]
        if not MIN_ACCURACY <= first.accuracy < second.accuracy:
            raise NotGoodEnoughError(
                f"accuracy of version 1 is {first.accuracy:.4f}, of version 2 {second.accuracy:.4f};"
                f" wanted {MIN_ACCURACY} or more, and version 2 better"
            )
        apart = float(np.abs(first.probabilities - second.probabilities).max(axis=1).min())
        if apart < MIN_VERSION_DISTANCE:
            raise NotGoodEnoughError(
                f"the versions answer a golden image only {apart} apart, wanted {MIN_VERSION_DISTANCE}"
            )
