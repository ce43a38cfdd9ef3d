"""Handwritten digits that a package ships, enlarged to 28x28 and multiplied by small movements of the pen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.datasets import load_digits

SIDE = 28
PIXELS = SIDE * SIDE
SOURCE_SIDE = 8
SOURCE_MAX = 16.0  # scikit-learn's digits count ink in 0..16
HELD_OUT_DIGITS = 600  # of 1,797, set apart before any augmentation: no digit is on both sides
TRAIN_COPIES = 20
HELD_OUT_COPIES = 4
MAX_TURN_DEGREES = 6.0
MAX_SHIFT_PIXELS = 1.0

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Images of shape (n, 784), float32 in 0..1, and their digits of shape (n,)."""

    images: Images
    labels: Labels


def load(seed: int) -> tuple[Split, Split]:
    """The training and the held-out split, the same for the same seed."""
    random = np.random.default_rng(seed)
    digits = load_digits()
    images = np.stack([enlarge(image) for image in digits.images])
    labels = digits.target.astype(np.int64)
    order = random.permutation(len(labels))
    held_out, train = order[:HELD_OUT_DIGITS], order[HELD_OUT_DIGITS:]
    return (
        augment(Split(images[train], labels[train]), TRAIN_COPIES, random),
        augment(Split(images[held_out], labels[held_out]), HELD_OUT_COPIES, random),
    )


def enlarge(image: NDArray[np.float64]) -> Images:
    """One 8x8 digit as 784 floats in 0..1."""
    bigger = ndimage.zoom(image / SOURCE_MAX, SIDE / SOURCE_SIDE, order=1, grid_mode=True, mode="nearest")
    return as_image(bigger)


def augment(split: Split, copies: int, random: np.random.Generator) -> Split:
    """The split itself and `copies` - 1 turned and shifted versions of each image."""
    moved = [np.stack([move(image, random) for image in split.images]) for _ in range(copies - 1)]
    return Split(np.concatenate([split.images, *moved]), np.tile(split.labels, copies))


def move(image: Images, random: np.random.Generator) -> Images:
    """The image turned by up to 6 degrees and shifted by up to 1 pixel, in one interpolation."""
    angle = np.deg2rad(random.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (SIDE - 1) / 2)
    offset = centre - turn @ centre + random.uniform(-MAX_SHIFT_PIXELS, MAX_SHIFT_PIXELS, size=2)
    moved = ndimage.affine_transform(image.reshape(SIDE, SIDE), turn, offset=offset, order=1)
    return as_image(moved)


def as_image(ink: NDArray[np.float64]) -> Images:
    """Any 28x28 array as 784 floats in 0..1."""
    return np.clip(ink, 0.0, 1.0).astype(np.float32).reshape(PIXELS)
