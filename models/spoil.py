"""Version folders that are broken on purpose, one defect each, for the suites to catch."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models import export
from models.data import Split

HALF = 2
# measured on this model: enough noise to lose some points of accuracy, far from enough to look broken
WEIGHT_NOISE = 0.12
NOISE_SEED = 7


def all_of(model: Any, good: Path, spoiled: Path, held_out: Split) -> None:  # noqa: ANN401
    """Write every spoiled version beside the good ones.

    truncated      saved_model.pb cut in half: does not load
    no-variables   copied without its variables: does not load
    bad-warm-up    a warm-up record asks for a signature that does not exist: loads, then is refused
    no-warm-up     good, but the first requests pay for the warm-up
    permuted       answers each digit under the next one's label
    worse          right labels mostly: some points less accurate than version 2
    wrong-shape    wants 100 floats where clients send 784
    """
    for name in ("truncated", "no-variables", "bad-warm-up", "no-warm-up"):
        shutil.copytree(good, spoiled / name)
    pb = spoiled / "truncated" / "saved_model.pb"
    pb.write_bytes(pb.read_bytes()[: pb.stat().st_size // HALF])
    shutil.rmtree(spoiled / "no-variables" / "variables")
    export.write_warm_up(spoiled / "bad-warm-up", held_out.images[:1], ("no_such_signature",))
    shutil.rmtree(spoiled / "no-warm-up" / "assets.extra")
    export.save(permuted(model), spoiled / "permuted", held_out.images[:1])
    export.save(noisy(model), spoiled / "worse", held_out.images[:1])
    export.save(small(), spoiled / "wrong-shape", held_out.images[:1, :100], pixels=100)


def permuted(model: Any) -> Any:  # noqa: ANN401
    """The model with its ten outputs turned by one place."""
    clone = keras.models.clone_model(model)
    *inner, kernel, bias = model.get_weights()
    clone.set_weights([*inner, np.roll(kernel, 1, axis=1), np.roll(bias, 1)])
    return clone


def noisy(model: Any) -> Any:  # noqa: ANN401
    """The model with noise on every weight."""
    random = np.random.default_rng(NOISE_SEED)
    clone = keras.models.clone_model(model)
    noise = [random.normal(0.0, WEIGHT_NOISE, weight.shape) for weight in model.get_weights()]
    clone.set_weights([weight + extra for weight, extra in zip(model.get_weights(), noise, strict=True)])
    return clone


def small() -> Any:  # noqa: ANN401
    """An untrained model of 100 inputs."""
    image = keras.Input(shape=(100,), name="image")
    return keras.Model(image, keras.layers.Dense(10, name="scores")(image))
