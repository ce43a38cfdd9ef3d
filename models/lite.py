"""The classifier for small devices: as TFLite with floats, and with every tensor an 8-bit integer.

`python -m models.lite convert BUNDLE FOLDER` writes float.tflite, int8.tflite and wrong-scale.tflite, the last one
spoiled on purpose: calibrated on images that are twenty times too dark. `python -m models.lite judge BUNDLE FOLDER`
prints as JSON how each of them does against the SavedModel on the held-out split.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airgap import cache
from models import build
from models.golden import Golden

VERSION = 2
CALIBRATION_IMAGES = 200  # as many as the quantiser's ranges need to settle; more change no label
TOO_DARK = 0.05
INT8_MIN, INT8_MAX = -128, 127


@dataclass(frozen=True)
class Judgement:
    """A converted model on the held-out split: shares in 0..1, size in bytes, time in milliseconds per image."""

    agreement: float  # with the SavedModel's labels
    accuracy: float
    accuracy_loss: float  # against the SavedModel
    size: int
    latency_ms: float


def folder() -> Path:
    """The converted models, made now unless the cache holds them; raises airgap.cache.BuildError."""
    bundle = build.bundle()
    recipe = {"bundle": bundle.name, "source": cache.files_digest(Path(__file__)), "tf": version("tensorflow-cpu")}

    def make(into: Path) -> None:
        run("convert", bundle, into)

    return cache.artefact("models-lite", recipe, make, expect_s=20)


def judgements() -> dict[str, Judgement]:
    """Each converted model by its file's name, run over the held-out split now; raises airgap.cache.BuildError."""
    found = json.loads(run("judge", build.bundle(), folder()))
    return {name: Judgement(**judgement) for name, judgement in found.items()}


def run(command: str, bundle: Path, path: Path) -> str:
    """This module as a program: TensorFlow stays out of the caller's process."""
    arguments = [sys.executable, "-m", "models.lite", command, str(bundle), str(path)]
    done = subprocess.run(arguments, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode:
        raise cache.BuildError(f"`{' '.join(arguments)}` failed:\n{done.stderr}")
    return done.stdout


def convert(bundle: Path, into: Path) -> None:
    """Write the three converted models."""
    images = Golden.load(bundle).held_out_images[:CALIBRATION_IMAGES]
    saved = bundle / "digits" / str(VERSION)
    (into / "float.tflite").write_bytes(converter(saved).convert())
    (into / "int8.tflite").write_bytes(quantised(saved, images))
    (into / "wrong-scale.tflite").write_bytes(quantised(saved, images * np.float32(TOO_DARK)))


def converter(saved: Path) -> Any:  # noqa: ANN401  # TensorFlow ships no types
    """A converter of the default signature."""
    import tensorflow as tf  # noqa: PLC0415  # half a gigabyte that only the program itself needs

    return tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serving_default"])


def quantised(saved: Path, images: NDArray[np.float32]) -> bytes:
    """The model with 8-bit weights, activations, input and output, their scales taken from running these images."""
    import tensorflow as tf  # noqa: PLC0415

    def representative() -> Iterator[dict[str, NDArray[np.float32]]]:
        for image in images:
            yield {"image": image[None]}

    made = converter(saved)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.representative_dataset = representative
    made.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    made.inference_input_type = made.inference_output_type = tf.int8
    content: bytes = made.convert()
    return content


def labels_of(model: Path, images: NDArray[np.float32]) -> tuple[NDArray[np.int64], float]:
    """The label of each image, and the milliseconds that one took."""
    import tensorflow as tf  # noqa: PLC0415

    interpreter = tf.lite.Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    wanted, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if wanted["dtype"] == np.int8:
        scale, zero = wanted["quantization"]
        images = np.clip(np.round(images / scale) + zero, INT8_MIN, INT8_MAX).astype(np.int8)
    labels = []
    started = time.perf_counter()
    for image in images:
        interpreter.set_tensor(wanted["index"], image[None])
        interpreter.invoke()
        labels.append(int(interpreter.get_tensor(answer["index"]).argmax()))
    return np.array(labels, np.int64), (time.perf_counter() - started) / len(images) * 1e3


def saved_labels(bundle: Path, images: NDArray[np.float32]) -> NDArray[np.int64]:
    """The SavedModel's label of each image."""
    import tensorflow as tf  # noqa: PLC0415

    serve = tf.saved_model.load(str(bundle / "digits" / str(VERSION))).signatures["serving_default"]
    labels: NDArray[np.int64] = serve(image=tf.constant(images))["probabilities"].numpy().argmax(axis=1)
    return labels


def compare(golden: Golden, expected: NDArray[np.int64], model: Path) -> Judgement:
    """A converted model against the labels of the SavedModel it was made of."""
    labels, latency = labels_of(model, golden.held_out_images)
    accuracy = float((labels == golden.held_out_labels).mean())
    return Judgement(
        agreement=float((labels == expected).mean()),
        accuracy=accuracy,
        accuracy_loss=golden.versions[VERSION].accuracy - accuracy,
        size=model.stat().st_size,
        latency_ms=latency,
    )


def main(command: str, bundle: str, path: str) -> None:
    """Convert into a folder, or judge what is there."""
    if command == "convert":
        convert(Path(bundle), Path(path))
    else:
        golden = Golden.load(Path(bundle))
        expected = saved_labels(Path(bundle), golden.held_out_images)
        models = sorted(Path(path).glob("*.tflite"))
        print(json.dumps({model.name: asdict(compare(golden, expected, model)) for model in models}))


if __name__ == "__main__":
    main(*sys.argv[1:])
