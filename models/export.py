"""Writes a Keras classifier as a SavedModel with named signatures and warm-up records."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from models.data import PIXELS, Images

MODEL_NAME = "digits"
WARM_UP = Path("assets.extra") / "tf_serving_warmup_requests"
SIGNATURES = ("serving_default", "scores")


def save(model: Any, folder: Path, warm_up: Images, pixels: int = PIXELS) -> None:  # noqa: ANN401
    """Write `model` to `folder` with the signatures of the agreed interface.

    `serving_default` answers `probabilities`, `scores` the same before softmax, both float32 (n, 10) for an `image`
    float32 (n, pixels). The warm-up holds one request for each signature.
    """
    spec = tf.TensorSpec([None, pixels], tf.float32, name="image")
    # a plain tf.Module around the model would save each variable twice, and the copy that the graph reads unrestored
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", lambda image: {"probabilities": keras.ops.softmax(model(image))}, [spec])
    archive.add_endpoint("scores", lambda image: {"scores": model(image)}, [spec])
    archive.write_out(str(folder), verbose=False)
    write_warm_up(folder, warm_up, SIGNATURES)


def write_warm_up(folder: Path, images: Images, signatures: tuple[str, ...]) -> None:
    """Write one predict record per signature for the server to replay before it serves the model."""
    (folder / WARM_UP).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / WARM_UP)) as writer:
        for signature in signatures:
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(name=MODEL_NAME, signature_name=signature),
                inputs={"image": tf.make_tensor_proto(np.asarray(images, np.float32))},
            )
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
