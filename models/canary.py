"""Releases for a canary, each under a version number of its own: a good one, and bad ones that only answers show.

`python -m models.canary BUNDLE FOLDER` writes them, and what the good one and version 2 answer to the held-out split.
All of them answer as version 2 does, a little less sure of it, so that each answer tells who gave it.
"""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airgap import cache
from models import build
from models.golden import TOLERANCE, Golden, NotGoodEnoughError

STABLE = 2
GOOD, PERMUTED, WORSE, ERRING = 3, 4, 5, 6  # version numbers; the server must see another one to load it
SURE = 0.95  # of a probability is kept, the rest is spread evenly: no label changes
SHARE = 0.02  # of the held-out images that WORSE answers wrongly and version 2 doesn't, and that ERRING refuses
SEED = 20261125
ANSWERS = "answers.npz"
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Releases:
    """Where each version's folder lies, and what version 2 and the good canary answer to the held-out images."""

    folder: Path
    answers: dict[int, Floats]

    def source(self, number: int) -> Path:
        """One version's folder."""
        return self.folder / str(number)


def releases() -> Releases:
    """The canary's releases, made now unless the cache holds them; raises airgap.cache.BuildError."""
    bundle = build.bundle()
    recipe = {"bundle": bundle.name, "source": cache.files_digest(Path(__file__)), "tf": version("tensorflow-cpu")}
    folder = cache.artefact("models-canary", recipe, lambda into: run(bundle, into), expect_s=20)
    with np.load(folder / ANSWERS) as arrays:
        return Releases(folder, {int(name): arrays[name] for name in arrays.files})


def run(bundle: Path, into: Path) -> None:
    """This module as a program: TensorFlow stays out of the caller's process."""
    arguments = [sys.executable, "-m", "models.canary", str(bundle), str(into)]
    done = subprocess.run(arguments, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode:
        raise cache.BuildError(f"`{' '.join(arguments)}` failed:\n{done.stderr}")


def above(marks: Floats, chosen: NDArray[np.bool_], count: int) -> float:
    """The limit that the marks of exactly `count` chosen images exceed, midway between two marks."""
    ordered = np.sort(marks[chosen])[::-1]
    return float(ordered[count - 1 : count + 1].mean())


def write(bundle: Path, into: Path) -> None:
    """Write every release, and what they answer."""
    import tensorflow as tf  # noqa: PLC0415  # half a gigabyte that only the program itself needs

    known = Golden.load(bundle)
    images, labels = known.held_out_images, known.held_out_labels
    stable = tf.saved_model.load(str(bundle / "digits" / str(STABLE)))
    kernel, bias, inner, outer = (each.numpy() for each in stable.variables)  # in the order of its two layers
    mark = np.random.default_rng(SEED).normal(size=(images.shape[1], 1)).astype(np.float32)

    def marks(image: Any) -> Any:  # noqa: ANN401  # TensorFlow ships no types
        return tf.matmul(image, mark)

    def scores(image: Any) -> Any:  # noqa: ANN401
        return tf.matmul(tf.nn.relu(tf.matmul(image, kernel) + bias), inner) + outer

    def calm(image: Any) -> Any:  # noqa: ANN401
        return SURE * tf.nn.softmax(scores(image)) + (1 - SURE) / 10

    answered = calm(images).numpy()
    right, seen, count = answered.argmax(axis=1) == labels, marks(images).numpy()[:, 0], round(SHARE * len(images))
    wrong_above = above(seen, right, count)
    refused_above = above(seen, np.ones_like(right), count)

    def permuted(image: Any) -> Any:  # noqa: ANN401
        return tf.roll(calm(image), 1, axis=1)

    def worse(image: Any) -> Any:  # noqa: ANN401
        return tf.where(marks(image) > wrong_above, permuted(image), calm(image))

    def erring(image: Any) -> Any:  # noqa: ANN401
        with tf.control_dependencies([tf.debugging.assert_less(marks(image), refused_above)]):
            return tf.identity(calm(image))

    truth = stable.signatures["serving_default"](image=tf.constant(images))["probabilities"].numpy()
    rebuilt = tf.nn.softmax(scores(images)).numpy()
    if np.abs(truth - rebuilt).max() > TOLERANCE:
        raise NotGoodEnoughError(f"version {STABLE} rebuilt from its weights answers otherwise: other layers?")
    for number, function in ((GOOD, calm), (PERMUTED, permuted), (WORSE, worse), (ERRING, erring)):
        save(function, scores, into / str(number))
    answers = {str(STABLE): truth, str(GOOD): answered}
    np.savez_compressed(into / ANSWERS, **answers)


def save(probabilities: Any, scores: Any, folder: Path) -> None:  # noqa: ANN401
    """Write one SavedModel with the signatures of the agreed interface, and without warm-up."""
    import tensorflow as tf  # noqa: PLC0415  # half a gigabyte that only the program itself needs

    spec = tf.TensorSpec([None, 784], tf.float32, name="image")
    module = tf.Module()
    module.default = tf.function(lambda image: {"probabilities": probabilities(image)}, input_signature=[spec])
    module.scores = tf.function(lambda image: {"scores": scores(image)}, input_signature=[spec])
    signatures = {"serving_default": module.default, "scores": module.scores}
    tf.saved_model.save(module, str(folder), signatures=signatures)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
