"""`python -m models.train FOLDER`: trains both versions, exports, spoils, and writes the golden answers."""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models import data, export, spoil
from models.golden import MIN_VERSION_DISTANCE, TOLERANCE, Answers, Golden, NotGoodEnoughError

SEED = 20240607
GOLDEN_IMAGES = 64
MIN_LABEL_MARGIN = 0.05  # a golden label must not hang on rounding
BATCH = 64


def train(train_split: data.Split, hidden: int, epochs: int) -> Any:  # noqa: ANN401  # Keras ships no types
    """A classifier with one hidden layer; input layer `image`, output `scores` before softmax."""
    keras.utils.set_random_seed(SEED)
    image = keras.Input(shape=(data.PIXELS,), name="image")
    inner = keras.layers.Dense(hidden, activation="relu")(image)
    model = keras.Model(image, keras.layers.Dense(10, name="scores")(inner))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(train_split.images, train_split.labels, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def answers(digits: Path, images: data.Images, held_out: data.Split) -> Answers:
    """What the exported model answers in process.

    Raises NotGoodEnoughError where an image alone and the same image in a batch are answered differently.
    """
    serve = tf.saved_model.load(str(digits)).signatures
    probabilities = serve["serving_default"](image=tf.constant(images))["probabilities"].numpy()
    single = np.concatenate(
        [serve["serving_default"](image=tf.constant(row[None]))["probabilities"].numpy() for row in images]
    )
    spread = float(np.abs(single - probabilities).max())
    if spread > TOLERANCE / 10:
        raise NotGoodEnoughError(f"batch and single answers differ by {spread}; TOLERANCE {TOLERANCE} is too tight")
    guessed = serve["serving_default"](image=tf.constant(held_out.images))["probabilities"].numpy().argmax(axis=1)
    return Answers(
        probabilities=probabilities,
        scores=serve["scores"](image=tf.constant(images))["scores"].numpy(),
        labels=probabilities.argmax(axis=1),
        accuracy=float((guessed == held_out.labels).mean()),
    )


def choose_golden(models: list[Any], held_out: data.Split) -> data.Images:
    """Held-out images that tell the versions apart while each version is sure of its label; all digits occur."""
    first, second = (keras.ops.softmax(model(held_out.images)).numpy() for model in models)
    apart = np.abs(first - second).max(axis=1)
    sure = np.minimum(margin(first), margin(second)) > MIN_LABEL_MARGIN
    usable = np.flatnonzero(sure & (apart > 2 * MIN_VERSION_DISTANCE))
    queues = [usable[held_out.labels[usable] == digit].tolist() for digit in range(10)]
    if min(map(len, queues)) < GOLDEN_IMAGES // 10 + 1:
        raise NotGoodEnoughError(
            f"too few images tell the versions apart: {[len(queue) for queue in queues]} per digit"
        )
    chosen = [queues[place % 10][place // 10] for place in range(GOLDEN_IMAGES)]
    return held_out.images[chosen]


def margin(probabilities: data.Images) -> data.Images:
    """How far the best label is ahead of the second, per row."""
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def main(folder: Path) -> None:
    """Fill `folder` with the bundle; raise NotGoodEnoughError where it is not good enough."""
    tf.config.experimental.enable_op_determinism()
    train_split, held_out = data.load(SEED)
    models = [train(train_split, hidden=32, epochs=4), train(train_split, hidden=128, epochs=8)]
    images = choose_golden(models, held_out)
    for version, model in enumerate(models, start=1):
        export.save(model, folder / "digits" / str(version), warm_up=images[:1])
    golden = Golden(
        images=images,
        versions={version: answers(folder / "digits" / str(version), images, held_out) for version in (1, 2)},
        held_out_images=held_out.images,
        held_out_labels=held_out.labels,
    )
    golden.check()
    golden.save(folder)
    spoil.all_of(models[1], folder / "digits" / "2", folder / "spoiled", held_out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
