"""The gRPC client of the model server."""

from collections.abc import Mapping

import grpc
import numpy as np
from google.protobuf import text_format

from shakedown.oracle import Floats
from shakedown.protos import (
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    types_pb2,
)
from shakedown.serving import REQUEST_S, Endpoint
from shakedown.verdict import Failed

SIGNATURE = "serving_default"
RELOAD_S = 60.0  # a reload answers when every version that the configuration names has been loaded


class Refused(Exception):
    """The server answered a gRPC call with an error: `code` is its name, `text` its message."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


def prediction_request(model: str, images: Floats, *, signature: str = SIGNATURE) -> predict_pb2.PredictRequest:
    """A request for float32 images [n, 784]; change it before it is sent to ask for something special."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    tensor = request.inputs["image"]
    tensor.dtype = types_pb2.DT_FLOAT
    for size in images.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = images.astype("<f4").tobytes()
    return request


def send(endpoint: Endpoint, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    """Send one prediction, once. Raises Refused with the server's code and text."""
    try:
        with channel_to(endpoint) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            return stub.Predict(request, timeout=REQUEST_S, metadata=endpoint.headers)
    except grpc.RpcError as error:
        raise refused(error) from error


def refused(error: grpc.RpcError) -> Refused:
    """The server's answer out of grpc's exception."""
    return Refused(error.code().name, error.details() or "")


def floats_of(response: predict_pb2.PredictResponse, output: str) -> Floats:
    """One float32 output in its shape; raises Failed where the answer doesn't hold it."""
    if output not in response.outputs:
        raise Failed(f"the answer has no output {output}, it has {sorted(response.outputs)}")
    found = response.outputs[output]
    shape = [dimension.size for dimension in found.tensor_shape.dim]
    return np.asarray(found.float_val, dtype=np.float32).reshape(shape)


def predict_grpc(endpoint: Endpoint, model: str, images: Floats, *, version: int | None = None) -> tuple[Floats, int]:
    """Probabilities over gRPC and the version that answered; shapes as over REST. Raises Failed with the status."""
    request = prediction_request(model, images)
    if version:
        request.model_spec.version.value = version
    try:
        answer = send(endpoint, request)
    except Refused as error:
        raise Failed(f"{endpoint.name}: gRPC prediction: {str(error)[:200]}") from error
    return floats_of(answer, "probabilities"), int(answer.model_spec.version.value)


def status_grpc(endpoint: Endpoint, model: str) -> dict[int, str]:
    """Each version's state as the model service tells it. Raises Refused."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    try:
        with channel_to(endpoint) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            answer = stub.GetModelStatus(request, timeout=REQUEST_S, metadata=endpoint.headers)
    except grpc.RpcError as error:
        raise refused(error) from error
    states = get_model_status_pb2.ModelVersionStatus.State
    return {int(one.version): states.Name(one.state) for one in answer.model_version_status}


def reload_config(endpoint: Endpoint, config: str) -> None:
    """Give one server another model configuration (a text proto) until it restarts. Raises Failed with its words."""
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(config, request.config, allow_unknown_field=False)
    try:
        with channel_to(endpoint) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            status = stub.HandleReloadConfigRequest(request, timeout=RELOAD_S).status
    except grpc.RpcError as error:
        raise Failed(f"{endpoint.name}: reload of the model configuration: {refused(error)}") from error
    if status.error_code:
        raise Failed(f"{endpoint.name}: reload of the model configuration: {status.error_message}")


def channel_to(endpoint: Endpoint) -> grpc.Channel:
    """A new gRPC channel; close it."""
    options = [("grpc.default_authority", endpoint.host)] if endpoint.host else []
    return grpc.insecure_channel(endpoint.grpc, options=options)


def serving_all(config: str, model: str, labels: Mapping[str, int]) -> str:
    """A model configuration (a text proto) with one model's every version served, and these labels on it."""
    changed = text_format.Parse(config, model_server_config_pb2.ModelServerConfig())
    for one in changed.model_config_list.config:
        if one.name == model:
            one.model_version_policy.all.SetInParent()
            one.version_labels.update(labels)
    return str(text_format.MessageToString(changed))


def serving_only(config: str, model: str, version: int) -> str:
    """A model configuration (a text proto) with exactly one version of one model served."""
    changed = text_format.Parse(config, model_server_config_pb2.ModelServerConfig())
    for one in changed.model_config_list.config:
        if one.name == model:
            one.model_version_policy.specific.versions[:] = [version]
    return str(text_format.MessageToString(changed))


def based_on(config: str, model: str, path: str) -> str:
    """A model configuration (a text proto) with one model read from another base path."""
    changed = text_format.Parse(config, model_server_config_pb2.ModelServerConfig())
    for one in changed.model_config_list.config:
        if one.name == model:
            one.base_path = path
    return str(text_format.MessageToString(changed))


def with_more(config: str, models: Mapping[str, str]) -> str:
    """A model configuration (a text proto) with more models: {name: base path}."""
    changed = text_format.Parse(config, model_server_config_pb2.ModelServerConfig())
    for name, path in models.items():
        changed.model_config_list.config.add(name=name, base_path=path, model_platform="tensorflow")
    return str(text_format.MessageToString(changed))
