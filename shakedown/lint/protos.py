from functools import cache

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    text_format,
    wrappers_pb2,  # noqa: F401  # registers the wrapped values that batching parameters use
)

Field = descriptor_pb2.FieldDescriptorProto
REPEATED, OPTIONAL = Field.LABEL_REPEATED, Field.LABEL_OPTIONAL
STRING, BOOL, INT64, FLOAT = Field.TYPE_STRING, Field.TYPE_BOOL, Field.TYPE_INT64, Field.TYPE_FLOAT
PACKAGE = "shakedown.serving"
INT64_VALUE, BOOL_VALUE, DOUBLE_VALUE, STRING_VALUE = (
    f".google.protobuf.{kind}Value" for kind in ("Int64", "Bool", "Double", "String")
)

# Field names and types of the text protos that tensorflow_model_server reads, from the sources of TensorFlow Serving
# (model_server_config.proto, file_system_storage_path_source.proto, logging_config.proto, monitoring_config.proto,
# session_bundle_config.proto). Text needs no field numbers: they are given in order.
Kind = int | str
MESSAGES: dict[str, dict[str, tuple[Kind, int]]] = {
    "Latest": {"num_versions": (INT64, OPTIONAL)},
    "All": {},
    "Specific": {"versions": (INT64, REPEATED)},
    "VersionPolicy": {"latest": ("Latest", OPTIONAL), "all": ("All", OPTIONAL), "specific": ("Specific", OPTIONAL)},
    "VersionLabel": {"key": (STRING, OPTIONAL), "value": (INT64, OPTIONAL)},
    "Sampling": {"sampling_rate": (Field.TYPE_DOUBLE, OPTIONAL)},
    "LogCollector": {"type": (STRING, OPTIONAL), "filename_prefix": (STRING, OPTIONAL)},
    "Logging": {"log_collector_config": ("LogCollector", OPTIONAL), "sampling_config": ("Sampling", OPTIONAL)},
    "ModelConfig": {
        "name": (STRING, OPTIONAL), "base_path": (STRING, OPTIONAL), "model_platform": (STRING, OPTIONAL),
        "model_type": (STRING, OPTIONAL), "model_version_policy": ("VersionPolicy", OPTIONAL),
        "version_labels": ("VersionLabel", REPEATED), "logging_config": ("Logging", OPTIONAL),
    },
    "ModelConfigList": {"config": ("ModelConfig", REPEATED)},
    "ModelServerConfig": {"model_config_list": ("ModelConfigList", OPTIONAL)},
    "PrometheusConfig": {"enable": (BOOL, OPTIONAL), "path": (STRING, OPTIONAL)},
    "MonitoringConfig": {"prometheus_config": ("PrometheusConfig", OPTIONAL)},
    "BatchingParameters": {
        "max_batch_size": (INT64_VALUE, OPTIONAL), "batch_timeout_micros": (INT64_VALUE, OPTIONAL),
        "max_enqueued_batches": (INT64_VALUE, OPTIONAL), "num_batch_threads": (INT64_VALUE, OPTIONAL),
        "thread_pool_name": (STRING_VALUE, OPTIONAL), "allowed_batch_sizes": (INT64, REPEATED),
        "pad_variable_length_inputs": (BOOL, OPTIONAL), "enable_large_batch_splitting": (BOOL_VALUE, OPTIONAL),
        "max_execution_batch_size": (INT64_VALUE, OPTIONAL), "batch_padding_policy": (STRING, OPTIONAL),
    },
}  # fmt: skip
ONE_OF = {"VersionPolicy"}


class TextProtoError(ValueError):
    """The text is not the proto that the server reads; the message says where."""


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="shakedown/serving.proto", package=PACKAGE, syntax="proto3", dependency=["google/protobuf/wrappers.proto"]
    )
    for name, fields in MESSAGES.items():
        one = file.message_type.add(name=name)
        if name in ONE_OF:
            one.oneof_decl.add(name="choice")
        for number, (field, (kind, label)) in enumerate(fields.items(), start=1):
            added = one.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = Field.TYPE_MESSAGE, kind if kind[0] == "." else f".{PACKAGE}.{kind}"
            else:
                added.type = Field.Type.ValueType(kind)
            if name in ONE_OF:
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    descriptor_pool.Default().FindFileByName("google/protobuf/wrappers.proto").CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return pool


def parse(name: str, text: str) -> message.Message:
    """Parse a text proto of one of MESSAGES. Raises TextProtoError with line and complaint."""
    parsed = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))()
    try:
        return text_format.Parse(text, parsed)
    except text_format.ParseError as error:
        raise TextProtoError(str(error).replace(f"{PACKAGE}.", "")) from error
