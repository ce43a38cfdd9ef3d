"""The prediction calls on one version, the same for REST and gRPC; graph runs go through a runner."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, model_pb2, regression_pb2

from model_server import metrics, tensors
from model_server.servable import Servable
from model_server.status import Code, StatusError, invalid

Array = NDArray[Any]
DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


class Run(Protocol):
    """Runs a graph, in a batch with others or alone."""

    async def __call__(
        self, servable: Servable, feeds: Mapping[str, Array], fetches: Sequence[str], api: str
    ) -> list[Array]:
        """The fetched tensors; raises StatusError."""


def braces(names: Iterable[str]) -> str:
    """Names as error texts list them."""
    return f"{{{','.join(sorted(names))}}}"


def predict_signature(servable: Servable, name: str) -> meta_graph_pb2.SignatureDef:
    """The signature to predict with; raises StatusError for an unknown name or an unknown method."""
    key = name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(key)
    if signature is None:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.')
    if signature.method_name not in {PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD}:
        raise StatusError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{PREDICT_METHOD}, {CLASSIFY_METHOD},"
            f" {REGRESS_METHOD}}}. Was: {signature.method_name}",
        )
    return signature


def predict_feeds(signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """The graph's tensors for a request's inputs, arrays or protos; the signature's defaults for those left out."""
    check_names(signature, inputs)
    feeds: dict[str, Array] = {}
    for alias, info in signature.inputs.items():
        value = inputs[alias] if alias in inputs else signature.defaults[alias]
        feeds[info.name] = value if isinstance(value, np.ndarray) else tensors.to_array(alias, value)
    return feeds


def check_names(signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, Any]) -> None:
    """Raise StatusError unless every input of the signature is given or has a default, and nothing else is given."""
    wanted, sent = set(signature.inputs), set(inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({braces(sent)}) !="
            f" len({braces(wanted)}). Sent extra: {braces(sent - wanted)}."
            f" Missing but required: {braces(wanted - sent)}."
        )
    for alias in sorted(wanted - sent - set(signature.defaults)):
        raise invalid(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and no"
            f" default value provided. Inputs expected to be in the request {{{','.join(sorted(sent))}}}, or default"
            f" input alias set: {','.join(sorted(signature.defaults))}"
        )
    if sent - wanted:
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(sent & wanted))},"
            f" request input: {','.join(sorted(sent))}"
        )


def output_aliases(signature: meta_graph_pb2.SignatureDef, wanted: Sequence[str]) -> list[str]:
    """The outputs to answer with: the filter's, or all; raises StatusError for an unknown or a repeated one."""
    if not wanted:
        return sorted(signature.outputs)
    seen: list[str] = []
    for alias in wanted:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set"
                f" {braces(signature.outputs)}."
            )
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return seen


async def predict(
    run: Run,
    servable: Servable,
    signature: meta_graph_pb2.SignatureDef,
    inputs: Mapping[str, Any],
    output_filter: Sequence[str] = (),
) -> dict[str, Array]:
    """The outputs by their names in the signature."""
    feeds = predict_feeds(signature, inputs)
    aliases = output_aliases(signature, output_filter)
    found = await run(servable, feeds, [signature.outputs[alias].name for alias in aliases], "Predict")
    return dict(zip(aliases, found, strict=True))


def examples(request_input: input_pb2.Input) -> Array:
    """The request's examples, serialized, the context in front of each; raises StatusError where there are none."""
    kind = request_input.WhichOneof("kind")
    listed = getattr(request_input, kind).examples if kind else ()
    if not listed:
        raise invalid("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = request_input.example_list_with_context.context.SerializeToString()
    return tensors.own_array([context + example.SerializeToString() for example in listed], [len(listed)])


def example_signature(servable: Servable, name: str, method: str, word: str) -> meta_graph_pb2.SignatureDef:
    """The signature for examples; raises StatusError where there is none, or it is for another method."""
    key = name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(key)
    if signature is None:
        raise invalid(f"No signature was found with the name: {key}")
    check_method(signature, method, word)
    return signature


def check_method(signature: meta_graph_pb2.SignatureDef, method: str, word: str) -> None:
    """Raise StatusError where the signature is for another method."""
    if signature.method_name != method:
        raise invalid(f"Expected {word} signature method_name to be {method}. Was: {signature.method_name}")


def classify_tensors(signature: meta_graph_pb2.SignatureDef) -> tuple[str, list[str]]:
    """The tensor to feed examples to, and those to fetch."""
    check_method(signature, CLASSIFY_METHOD, "classification")
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in {1, 2}:
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.inputs:
        raise StatusError(Code.FAILED_PRECONDITION, f"No classification inputs found in SignatureDef: {signature}")
    fetches = [signature.outputs[alias].name for alias in (CLASSES, SCORES) if alias in signature.outputs]
    if not fetches:
        raise StatusError(
            Code.FAILED_PRECONDITION,
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}".'
            f" Signature was: {signature}",
        )
    return signature.inputs[INPUTS].name, fetches


def regress_tensors(signature: meta_graph_pb2.SignatureDef) -> tuple[str, list[str]]:
    """The tensor to feed examples to, and the one to fetch."""
    check_method(signature, REGRESS_METHOD, "regression")
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise StatusError(Code.FAILED_PRECONDITION, f"No regression inputs found in SignatureDef: {signature}")
    if OUTPUTS not in signature.outputs:
        raise StatusError(Code.FAILED_PRECONDITION, f"No regression outputs found in SignatureDef: {signature}")
    return signature.inputs[INPUTS].name, [signature.outputs[OUTPUTS].name]


def class_result(
    signature: meta_graph_pb2.SignatureDef, found: Mapping[str, Array], count: int
) -> classification_pb2.ClassificationResult:
    """Labels and scores per example; raises StatusError where the graph's answer is of another type or shape."""
    columns: dict[str, Array] = {}
    for alias, dtype in ((CLASSES, types_pb2.DT_STRING), (SCORES, types_pb2.DT_FLOAT)):
        if alias in signature.outputs:
            columns[alias] = checked_column(alias, found[signature.outputs[alias].name], dtype, count)
    widths = {column.shape[1] for column in columns.values()}
    if len(widths) > 1:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got"
            f" {columns[CLASSES].shape[1]} vs. {columns[SCORES].shape[1]}"
        )
    result = classification_pb2.ClassificationResult()
    for row in range(count):
        listed = result.classifications.add()
        for place in range(widths.copy().pop()):
            one = listed.classes.add()
            if CLASSES in columns:
                one.label = columns[CLASSES][row, place].decode("utf-8", "replace")
            if SCORES in columns:
                one.score = columns[SCORES][row, place]
    return result


def checked_column(alias: str, array: Array, dtype: int, count: int) -> Array:
    """The output, if it is a matrix of the right type with one row per example."""
    if array.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
    if tensors.ENUMS.get(array.dtype) != dtype:
        wanted = types_pb2.DataType.Name(dtype)
        raise invalid(f"Expected {alias} Tensor of {wanted}. Got: {array.dtype}")
    if len(array) != count:
        raise invalid(f"Expected {alias} output batch size of {count}. Got: {len(array)}")
    return array


def regress_result(
    signature: meta_graph_pb2.SignatureDef, found: Mapping[str, Array], count: int
) -> regression_pb2.RegressionResult:
    """One value per example; raises StatusError where the graph's answer is of another type or shape."""
    array = found[signature.outputs[OUTPUTS].name]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(array.shape)}"
        )
    if len(array) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {array.dtype}")
    result = regression_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


def count_examples(name: str, count: int) -> None:
    """Tell the metrics of a request's examples."""
    metrics.example_counts.observe(count, (name,))
    metrics.example_count_total.add((name,), count)


async def classify(
    run: Run, servable: Servable, signature_name: str, request_input: input_pb2.Input
) -> classification_pb2.ClassificationResult:
    """The classes of each example."""
    signature = example_signature(servable, signature_name, CLASSIFY_METHOD, "classification")
    feed, fetches = classify_tensors(signature)
    batch = examples(request_input)
    found = await run(servable, {feed: batch}, fetches, "Classify")
    count_examples(servable.name, len(batch))
    return class_result(signature, dict(zip(fetches, found, strict=True)), len(batch))


async def regress(
    run: Run, servable: Servable, signature_name: str, request_input: input_pb2.Input
) -> regression_pb2.RegressionResult:
    """The value of each example."""
    signature = example_signature(servable, signature_name, REGRESS_METHOD, "regression")
    feed, fetches = regress_tensors(signature)
    batch = examples(request_input)
    found = await run(servable, {feed: batch}, fetches, "Regress")
    count_examples(servable.name, len(batch))
    return regress_result(signature, dict(zip(fetches, found, strict=True)), len(batch))


def task_signature(servable: Servable, task: inference_pb2.InferenceTask, seen: set[str]) -> str:
    """The name of a task's signature; raises StatusError where it was asked for before or does not exist."""
    name = task.model_spec.signature_name or DEFAULT_SIGNATURE
    if name in seen:
        raise invalid(f"Duplicate evaluation of signature: {name}")
    seen.add(name)
    if name not in servable.signatures:
        raise invalid(f"Requested signature not found in model graph: {name}")
    return name


async def multi_inference(
    run: Run, servable: Servable, request: inference_pb2.MultiInferenceRequest
) -> inference_pb2.MultiInferenceResponse:
    """Several classify and regress signatures over one feed, in one run of the graph."""
    seen: set[str] = set()
    feed, fetches = "", set[str]()
    for task in request.tasks:
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        signature = servable.signatures[task_signature(servable, task, seen)]
        wanted_feed, wanted = task_tensors(task, signature)
        if feed and feed != wanted_feed:
            raise invalid("Input tensor must be the same for all Signatures.")
        feed = wanted_feed
        fetches.update(wanted)
    ordered = sorted(fetches)
    batch = examples(request.input)
    found = dict(zip(ordered, await run(servable, {feed: batch}, ordered, "MultiInference"), strict=True))
    count_examples(servable.name, len(batch))
    response = inference_pb2.MultiInferenceResponse()
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        result = response.results.add(model_spec=spec_of(servable, name))
        if task.method_name == CLASSIFY_METHOD:
            result.classification_result.CopyFrom(class_result(servable.signatures[name], found, len(batch)))
        else:
            result.regression_result.CopyFrom(regress_result(servable.signatures[name], found, len(batch)))
    return response


def task_tensors(task: inference_pb2.InferenceTask, signature: meta_graph_pb2.SignatureDef) -> tuple[str, list[str]]:
    """The tensors of one task; raises StatusError for a method that is neither classify nor regress."""
    if task.method_name == CLASSIFY_METHOD:
        return classify_tensors(signature)
    if task.method_name == REGRESS_METHOD:
        return regress_tensors(signature)
    raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")


def spec_of(servable: Servable, signature_name: str = "") -> model_pb2.ModelSpec:
    """Which model, version and signature answered."""
    spec = model_pb2.ModelSpec(name=servable.name, signature_name=signature_name)
    spec.version.value = servable.version
    return spec
