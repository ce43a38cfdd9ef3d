"""PredictionService and ModelService."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from model_server import inference, metrics, rest, tensors
from model_server.manager import Manager
from model_server.runner import Runner, deadline
from model_server.status import Code, StatusError, invalid

Context = Any  # grpc.aio.ServicerContext can't be subscripted at run time
Request = TypeVar("Request", bound=Message)

LONGEST_ERROR = 1024
TRUNCATED = "...TRUNCATED"
METADATA_FIELD = "signature_def"
COUNTED = {"Predict", "Classify", "Regress"}
CODES = {code.value[0]: code for code in grpc.StatusCode}


def error_text(message: str) -> str:
    """The text as it goes into a trailer: cut where it is too long."""
    return message if len(message) <= LONGEST_ERROR else message[: LONGEST_ERROR - len(TRUNCATED)] + TRUNCATED


def named(request: Any) -> model_pb2.ModelSpec:  # noqa: ANN401  # any request with a model_spec
    """The request's model; raises StatusError where it has none."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec: model_pb2.ModelSpec = request.model_spec
    return spec


class Services:
    """The methods of both services; each takes a request and returns the response, or raises StatusError."""

    def __init__(self, manager: Manager, runner: Runner) -> None:
        self.manager = manager
        self.runner = runner

    async def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """The outputs of a signature, those of the filter or all."""
        spec = named(request)
        servable = self.manager.find(spec)
        signature = inference.predict_signature(servable, spec.signature_name)
        outputs = await inference.predict(self.runner, servable, signature, request.inputs, request.output_filter)
        answering = inference.spec_of(servable, spec.signature_name or inference.DEFAULT_SIGNATURE)
        response = predict_pb2.PredictResponse(model_spec=answering)
        for alias, array in outputs.items():
            tensors.fill_proto(array, response.outputs[alias])
        return response

    async def classify(
        self, request: classification_pb2.ClassificationRequest
    ) -> classification_pb2.ClassificationResponse:
        """The classes of each example."""
        spec = named(request)
        servable = self.manager.find(spec)
        result = await inference.classify(self.runner, servable, spec.signature_name, request.input)
        answering = inference.spec_of(servable, spec.signature_name or inference.DEFAULT_SIGNATURE)
        return classification_pb2.ClassificationResponse(model_spec=answering, result=result)

    async def regress(self, request: regression_pb2.RegressionRequest) -> regression_pb2.RegressionResponse:
        """The value of each example."""
        spec = named(request)
        servable = self.manager.find(spec)
        result = await inference.regress(self.runner, servable, spec.signature_name, request.input)
        answering = inference.spec_of(servable, spec.signature_name or inference.DEFAULT_SIGNATURE)
        return regression_pb2.RegressionResponse(model_spec=answering, result=result)

    async def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest
    ) -> inference_pb2.MultiInferenceResponse:
        """Several signatures over one input."""
        if not request.tasks:
            raise invalid("Inference request must have at least one task.")
        if not request.tasks[0].model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        servable = self.manager.find(request.tasks[0].model_spec)
        return await inference.multi_inference(self.runner, servable, request)

    async def get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a version."""
        spec = named(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != METADATA_FIELD:
                raise invalid(f"Metadata field {name} is not supported")
        answering, defs = rest.signature_defs(self.manager, spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=answering)
        response.metadata[METADATA_FIELD].Pack(defs)
        return response

    async def get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions."""
        return self.manager.status(named(request))

    async def handle_reload_config(
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        """Take over a configuration; answers when its models are available or one has failed."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid("ServerCore does not support custom config")
        response = model_management_pb2.ReloadConfigResponse()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.manager.apply, request.config)
        except StatusError as error:
            response.status.error_code = error.code.value
            response.status.error_message = error.message
        return response


def unary(
    kind: type[Request], method: Callable[[Request], Awaitable[Message]], api: str
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """The handler of one method: parses, counts, and turns errors into statuses."""

    async def handle(body: bytes, context: Context) -> bytes:
        started = time.perf_counter()
        request = kind()
        name = ""
        try:
            parse(request, body)
            name = request.model_spec.name if api in COUNTED else ""  # type: ignore[attr-defined]
            left = context.time_remaining()
            deadline.set(math.inf if left is None else asyncio.get_running_loop().time() + left)
            response = await method(request)
            refusal = None
        except StatusError as error:
            refusal = error.code, error.message
        if refusal:
            # outside of the handler above: grpc keeps the exception of abort(), which would keep what it was raised
            # from, its frames, and with them the version that they were at work on
            code, text = refusal
            if api in COUNTED:
                metrics.request_count.add((name, code.name))
            await context.abort(CODES[code.value], error_text(text))
        if api in COUNTED:
            metrics.request_count.add((name, Code.OK.name))
            metrics.request_latency.observe((time.perf_counter() - started) * 1e6, (name, api, "GRPC"))
        return response.SerializeToString()

    return grpc.unary_unary_rpc_method_handler(handle)


def parse(message: Message, body: bytes) -> None:
    """Read a request; bytes that are none fail as the C++ library has them fail: INTERNAL, without a text."""
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise StatusError(Code.INTERNAL, "") from error


def handlers(services: Services) -> tuple[grpc.GenericRpcHandler, ...]:
    """Both services by their full names."""
    prediction = {
        "Predict": unary(predict_pb2.PredictRequest, services.predict, "Predict"),
        "Classify": unary(classification_pb2.ClassificationRequest, services.classify, "Classify"),
        "Regress": unary(regression_pb2.RegressionRequest, services.regress, "Regress"),
        "MultiInference": unary(inference_pb2.MultiInferenceRequest, services.multi_inference, "MultiInference"),
        "GetModelMetadata": unary(
            get_model_metadata_pb2.GetModelMetadataRequest, services.get_model_metadata, "GetModelMetadata"
        ),
    }
    model = {
        "GetModelStatus": unary(
            get_model_status_pb2.GetModelStatusRequest, services.get_model_status, "GetModelStatus"
        ),
        "HandleReloadConfigRequest": unary(
            model_management_pb2.ReloadConfigRequest, services.handle_reload_config, "HandleReloadConfigRequest"
        ),
    }
    return (
        grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", prediction),
        grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", model),
    )
