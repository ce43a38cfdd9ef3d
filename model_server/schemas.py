"""Text protos that the tensorflow-serving-api package leaves out, described here and built at import.

Field names and numbers are those of TensorFlow Serving's monitoring_config.proto, ssl_config.proto and
session_bundle_config.proto: only so are the same files readable by both servers.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, wrappers_pb2

PACKAGE = "shakedown.model_server"
Field = descriptor_pb2.FieldDescriptorProto


def field(
    name: str, number: int, kind: "descriptor_pb2.FieldDescriptorProto.Type.ValueType", type_name: str | None = None
) -> descriptor_pb2.FieldDescriptorProto:
    """One field of a message, not repeated."""
    return Field(name=name, number=number, type=kind, label=Field.LABEL_OPTIONAL, type_name=type_name)


def wrapped(name: str, number: int, wrapper: str = "Int64Value") -> descriptor_pb2.FieldDescriptorProto:
    """A field whose value is written `name { value: 8 }`."""
    return field(name, number, Field.TYPE_MESSAGE, f".google.protobuf.{wrapper}")


def file_of_schemas() -> descriptor_pb2.FileDescriptorProto:
    """The three configuration files' messages."""
    allowed = field("allowed_batch_sizes", 6, Field.TYPE_INT64)
    allowed.label = Field.LABEL_REPEATED
    messages = {
        "PrometheusConfig": [field("enable", 1, Field.TYPE_BOOL), field("path", 2, Field.TYPE_STRING)],
        "MonitoringConfig": [field("prometheus_config", 1, Field.TYPE_MESSAGE, f".{PACKAGE}.PrometheusConfig")],
        "SSLConfig": [
            field("server_key", 1, Field.TYPE_STRING),
            field("server_cert", 2, Field.TYPE_STRING),
            field("custom_ca", 3, Field.TYPE_STRING),
            field("client_verify", 4, Field.TYPE_BOOL),
        ],
        "BatchingParameters": [
            wrapped("max_batch_size", 1),
            wrapped("batch_timeout_micros", 2),
            wrapped("max_enqueued_batches", 3),
            wrapped("num_batch_threads", 4),
            wrapped("thread_pool_name", 5, "StringValue"),
            allowed,
            field("pad_variable_length_inputs", 7, Field.TYPE_BOOL),
            wrapped("enable_large_batch_splitting", 8, "BoolValue"),
            wrapped("max_execution_batch_size", 9),
        ],
    }
    described = descriptor_pb2.FileDescriptorProto(
        name="shakedown/model_server/schemas.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in messages.items():
        described.message_type.add(name=name, field=fields)
    return described


def build() -> dict[str, type[message.Message]]:
    """The message classes by name."""
    pool = descriptor_pool.Default()
    pool.Add(file_of_schemas())
    names = [described.name for described in file_of_schemas().message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in names}


CLASSES = build()
