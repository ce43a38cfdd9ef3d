"""The REST API: paths to calls, errors to HTTP codes, and the metrics page on the same port."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from model_server import inference, json_example, json_tensor, metrics, rapid_json
from model_server.manager import Manager
from model_server.runner import Runner, deadline
from model_server.status import Code, StatusError, invalid

ANY_MODEL = re.compile("/v1/.*", re.IGNORECASE | re.DOTALL)
PREDICTION = re.compile(
    r"/v1/models/([^/:]+)(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?:(classify|regress|predict)", re.IGNORECASE
)
STATUS = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?(?:/(metadata))?", re.IGNORECASE
)
INT64_MAX = 2**63 - 1
MAX_BODY = 2**31 - 1
# an idle connection is the client's to close: whoever pools connections would else meet a race
KEEP_ALIVE_S = 24 * 3600.0
JSON_TYPE = "application/json"
PROTO_INDENT = 1
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
NOT_FOUND_PAGE = "<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD><BODY><H1>Not Found</H1></BODY></HTML>\n"


def model_spec(name: str, version: str | None, label: str | None) -> model_pb2.ModelSpec:
    """Which model and version a path names; raises StatusError for a version that does not fit 64 bits."""
    spec = model_pb2.ModelSpec(name=unquote(name))
    if version:
        if int(version) > INT64_MAX:
            raise invalid(f"Failed to convert version: {version} to numeric.")
        spec.version.value = int(version)
    if label:
        spec.version_label = unquote(label)
    return spec


def proto_json(message: Message) -> str:
    """A message as the server prints it: every field, names as in the schema, indented by one."""
    found = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(found, indent=PROTO_INDENT, ensure_ascii=False)


class RestApi:
    """Answers HTTP requests; `path_of_metrics` is None where metrics are off."""

    def __init__(
        self, manager: Manager, runner: Runner, *, timeout_s: float, path_of_metrics: str | None, cors: bool
    ) -> None:
        self.manager = manager
        self.runner = runner
        self.timeout_s = timeout_s
        self.path_of_metrics = path_of_metrics
        self.headers = CORS if cors else {}

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Every request of the port."""
        path = request.rel_url.raw_path
        if path == self.path_of_metrics:
            return web.Response(text=metrics.page(), content_type="text/plain")
        if not ANY_MODEL.fullmatch(path):
            return web.Response(status=404, text=NOT_FOUND_PAGE, content_type="text/html")
        if self.headers and request.method == "OPTIONS":
            return web.Response(headers=self.headers)
        started = time.perf_counter()
        call = Call(self.manager, self.runner)
        try:
            body = await request.read()
            deadline.set(asyncio.get_running_loop().time() + self.timeout_s)
            answer = await call.answer(request.method, path, body)
        except StatusError as error:
            metrics.request_count.add((call.name, error.code.name))
            return web.Response(
                status=error.http_status,
                body=rapid_json.error_body(error.message),
                content_type=JSON_TYPE,
                headers=self.headers,
            )
        metrics.request_count.add((call.name, Code.OK.name))
        metrics.request_latency.observe((time.perf_counter() - started) * 1e6, (call.name, call.method, "REST"))
        return web.Response(body=answer, content_type=JSON_TYPE, headers=self.headers)


class Call:
    """One request under /v1/; its name and method are what the metrics call it."""

    def __init__(self, manager: Manager, runner: Runner) -> None:
        self.manager = manager
        self.runner = runner
        self.name = ""
        self.method = ""

    async def answer(self, http_method: str, path: str, body: bytes) -> bytes:
        """The body of the answer; raises StatusError."""
        found = PREDICTION.fullmatch(path) if http_method == "POST" else None
        if found:
            self.name, self.method = unquote(found[1]), found[4]
            answers: dict[str, Callable[[model_pb2.ModelSpec, bytes], Awaitable[bytes]]] = {
                "predict": self.predict,
                "classify": self.classify,
                "regress": self.regress,
            }
            spec = model_spec(*found.group(1, 2, 3))
            if self.method not in answers:  # the path is read without regard to case, the method is not
                raise invalid(f"Malformed request: {http_method} {path}")
            return await answers[self.method](spec, body)
        found = STATUS.fullmatch(path) if http_method == "GET" else None
        if not found:
            raise invalid(f"Malformed request: {http_method} {path}")
        if not found[1]:
            raise invalid("Missing model name in request.")
        self.name = unquote(found[1])
        spec = model_spec(*found.group(1, 2, 3))
        if found[4]:
            return metadata_json(self.manager, spec).encode()
        return proto_json(self.manager.status(spec)).encode()

    async def predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        """A predict request's answer, in the format that it was asked in."""
        document = rapid_json.parse(body)
        name = json_tensor.signature_name(document)
        servable = self.manager.find(spec)
        signature = servable.signatures.get(name or inference.DEFAULT_SIGNATURE)
        if signature is None:
            key = name or inference.DEFAULT_SIGNATURE
            raise invalid(f'Serving signature name: "{key}" not found in signature def')
        if not signature.inputs:
            raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
        request = json_tensor.read_inputs(document, signature.inputs)
        signature = inference.predict_signature(servable, name)
        outputs = await inference.predict(self.runner, servable, signature, request.inputs)
        return json_tensor.write_outputs(outputs, row_format=request.row_format)

    async def classify(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        """A classify request's answer."""
        name, request_input = examples_of(body)
        servable = self.manager.find(spec)
        return json_example.write_classes(await inference.classify(self.runner, servable, name, request_input))

    async def regress(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        """A regress request's answer."""
        name, request_input = examples_of(body)
        servable = self.manager.find(spec)
        return json_example.write_values(await inference.regress(self.runner, servable, name, request_input))


def examples_of(body: bytes) -> tuple[str, Any]:
    """The signature's name and the input of a classify or regress request."""
    document = rapid_json.parse(body)
    return json_tensor.signature_name(document), json_example.read_input(document)


def signature_defs(manager: Manager, spec: model_pb2.ModelSpec) -> tuple[model_pb2.ModelSpec, Message]:
    """Who answers, and all its signatures."""
    servable = manager.find(spec)
    defs = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        defs.signature_def[name].CopyFrom(signature)
    return inference.spec_of(servable), defs


def metadata_json(manager: Manager, spec: model_pb2.ModelSpec) -> str:
    """The metadata of a version, put together as the server does: three documents in one."""
    answering, defs = signature_defs(manager, spec)
    return f'{{\n"model_spec":{proto_json(answering)},\n"metadata": {{"signature_def": {proto_json(defs)}}}\n}}\n'


async def serve(api: RestApi, port: int) -> None:
    """Open the port on all addresses; raises OSError where it is taken."""

    def big_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:  # noqa: ANN401
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)

    server = web.Server(api.handle, request_factory=big_request, access_log=None, keepalive_timeout=KEEP_ALIVE_S)
    await asyncio.get_running_loop().create_server(server, "0.0.0.0", port, backlog=1024)  # noqa: S104  # as upstream
