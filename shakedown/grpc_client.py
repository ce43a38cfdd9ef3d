"""The gRPC client of the model server; a module of its own, since its messages cost the import of TensorFlow."""

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from shakedown.serving import REQUEST_S, Endpoint
from shakedown.verdict import Failed


def predict_grpc(
    endpoint: Endpoint, model: str, images: np.ndarray, *, version: int | None = None
) -> tuple[np.ndarray, int]:
    """Predictions over gRPC and the version that answered; shapes as over REST. Raises Failed with the status."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    if version:
        request.model_spec.version.value = version
    tensor = request.inputs["image"]
    tensor.dtype = types_pb2.DT_FLOAT
    for size in images.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = images.astype("<f4").tobytes()
    try:
        with channel_to(endpoint) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(request, timeout=REQUEST_S)
    except grpc.RpcError as error:
        raise Failed(
            f"{endpoint.name}: gRPC prediction: {error.code().name}: {(error.details() or '')[:200]}"
        ) from error
    found = answer.outputs["probabilities"]
    shape = [dimension.size for dimension in found.tensor_shape.dim]
    return np.asarray(found.float_val, dtype=np.float32).reshape(shape), int(answer.model_spec.version.value)


def channel_to(endpoint: Endpoint) -> grpc.Channel:
    """A new gRPC channel; close it."""
    options = [("grpc.default_authority", endpoint.host)] if endpoint.host else []
    return grpc.insecure_channel(endpoint.grpc, options=options)
