import ast
import re
from collections.abc import Iterable, Iterator

from shakedown.lint import protos
from shakedown.lint.objects import Obj, tree, trees
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.schemas import suggestion
from shakedown.lint.server import BINARY, FLAGS, Server
from shakedown.lint.world import World

TRUTHS = {"true", "false", "1", "0", "t", "f"}
CONFIG_FLAGS = {
    "model_config_file": "ModelServerConfig",
    "monitoring_config_file": "MonitoringConfig",
    "batching_parameters_file": "BatchingParameters",
}
# what the smallest common images do not hold
LACKING = {
    "busybox": {"curl", "bash", "python", "python3", "jq", "kubectl"},
    "alpine": {"curl", "bash", "python", "python3", "jq", "kubectl"},
    "tensorflow/serving": {"curl", "wget", "python", "python3", "jq", "kubectl"},
}
SHAPED_LIKE_CONFIG = re.compile(r"model_config_list|prometheus_config|batch_timeout_micros|enable_batching")


def servers(world: World) -> Iterable[Obj]:
    """Workloads that run the model server."""
    return world.servers


def workloads(world: World) -> Iterable[Obj]:
    """All objects that make pods."""
    return world.workloads


@rule("flags-known", servers, why="the server prints an unknown flag and carries on without it")
def _flags_known(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    for word in server.words:
        name = word.lstrip("-").partition("=")[0]
        if word.startswith("-") and name not in FLAGS:
            mend = f"drop it{suggestion(name, FLAGS)}" if name != "grpc_port" else "the gRPC port's flag is --port"
            yield Problem(server.field, f"{word!r} is no flag of tensorflow_model_server", mend)
    program = str((server.container.data.get("command") or [BINARY])[0]).rpartition("/")[2]
    if program not in {BINARY, "sh", "bash", "tf_serving_entrypoint.sh"}:
        yield Problem(f"{server.container.field}.command", f"starts {program!r}", f"start {BINARY}")
    for name, value in server.flags.items():
        kind = FLAGS.get(name)
        if kind is int and not re.fullmatch(r"-?\d+", value):
            yield Problem(server.field, f"--{name}={value} is no whole number", "write a whole number")
        if kind is bool and value not in TRUTHS:
            yield Problem(server.field, f"--{name}={value} is neither true nor false", "write true or false")


@rule(
    "flags-agree",
    servers,
    why="flags that contradict each other end the server at its start, or switch off what was asked for",
)
def _flags_agree(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    flags = server.flags
    batching = flags.get("enable_batching", "false") in {"true", "1", "t"}
    if "batching_parameters_file" in flags and not batching:
        yield Problem(
            server.field, "names batching parameters without --enable_batching: start-up error", "add --enable_batching"
        )
    if batching and "batching_parameters_file" not in flags:
        yield Problem(server.field, "batches with default parameters", "give --batching_parameters_file")
    if "monitoring_config_file" in flags and not server.rest_port:
        yield Problem(
            server.field, "a monitoring config without REST port: metrics are never served", "add --rest_api_port"
        )
    if "model_config_file" in flags and {"model_name", "model_base_path"} & set(flags):
        yield Problem(
            server.field, "--model_config_file makes the server ignore model_name and model_base_path", "drop those"
        )
    if not server.grpc_port and "grpc_socket_path" not in flags:
        yield Problem(server.field, "neither gRPC port nor socket: start-up error", "set --port=8500")
    if server.grpc_port == server.rest_port:
        yield Problem(server.field, f"gRPC and REST both on {server.rest_port}", "give each its own port")
    for name in ("file_system_poll_wait_seconds", "model_config_file_poll_wait_seconds"):
        if server.number(name, 1) < 0:
            yield Problem(server.field, f"--{name} is negative: no model is ever loaded", "use 0 or more")


@rule("ports-declared", servers, why="Services, probes and policies find a port by what the container declares")
def _ports_declared(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    declared = {int(p.get("containerPort", 0)): str(p.get("name", "")) for p in server.container.ports}
    for what, number, names in (("gRPC", server.grpc_port, {"http", "rest"}), ("REST", server.rest_port, {"grpc"})):
        if number and number not in declared:
            yield Problem(
                f"{server.container.field}.ports",
                f"{what} answers on {number}, declared are {sorted(declared)}",
                f"declare {number}",
            )
        elif declared.get(number) in names:
            yield Problem(
                f"{server.container.field}.ports", f"{what} on {number} is named {declared[number]!r}", "swap the names"
            )
    for number in declared:
        if number not in {server.grpc_port, server.rest_port}:
            yield Problem(
                f"{server.container.field}.ports", f"nothing answers on {number}", "drop it or correct the flag"
            )


@rule("config-files-mounted", servers, why="a server that can't read its config file ends at its start")
def _config_files_mounted(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    for flag in (f for f in CONFIG_FLAGS if f in server.flags):
        if (
            world.flag_file(server, flag) is None
            and server.workload.volume_at(server.container, server.flags[flag]) is None
        ):
            yield Problem(
                server.field, f"--{flag}={server.flags[flag]} is under no mount", "mount the ConfigMap that holds it"
            )
        elif world.flag_file(server, flag) is None:
            yield Problem(
                server.field,
                f"--{flag}={server.flags[flag]}: the mounted ConfigMap has no such key",
                "correct path or key",
            )


@rule("configs-parse", servers, why="the server reads text protos; anything else ends it at its start")
def _configs_parse(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    for flag, name in CONFIG_FLAGS.items():
        text = world.flag_file(server, flag)
        if text is not None:
            try:
                protos.parse(name, text)
            except protos.TextProtoError as error:
                yield Problem(
                    server.field, f"{server.flags[flag]} is no {name} text proto: {error}", "write it as a text proto"
                )


@rule(
    "config-maps-are-text-protos",
    kinds("ConfigMap"),
    why="TensorFlow Serving reads model config and batching parameters as two text protos, never as JSON",
)
def _config_maps_are_text_protos(obj: Obj, _world: World) -> Problems:
    for key, text in tree(obj.data.get("data")).items():
        if SHAPED_LIKE_CONFIG.search(str(text)) and str(text).lstrip().startswith("{"):
            yield Problem(
                f"data[{key}]", "is JSON, with model config and batching in one", "write one text proto for each"
            )


@rule("models-configured", servers, why="a server whose model has no name, path or platform serves nothing")
def _models_configured(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    models = world.models(server)
    if not models:
        yield Problem(
            server.field,
            "no model is configured",
            "list one in the model config, or set --model_name and --model_base_path",
        )
    for name, base in models.items():
        if not name or not base.startswith(("/", "gs://", "s3://", "hdfs://")):
            yield Problem(server.field, f"model {name!r} at {base!r}", "give a name and an absolute base path")
        elif base.startswith("/") and server.workload.volume_at(server.container, base) is None:
            yield Problem(
                f"{server.container.field}.volumeMounts", f"{base} is on no volume", "mount the model store there"
            )
        elif base.startswith("/") and not base.rstrip("/").endswith(f"/{name}"):
            yield Problem(
                server.field, f"model {name} is read from {base}", f"keep it in a folder of its name: .../{name}"
            )
    for each in _configs(server, world):
        yield from _model_problems(server, each)


def _configs(server: Server, world: World) -> Iterator[object]:
    try:
        config = protos.parse("ModelServerConfig", world.flag_file(server, "model_config_file") or "")
    except protos.TextProtoError:
        return  # the rule configs-parse says so
    yield from config.model_config_list.config  # type: ignore[attr-defined]  # a message made at run time


def _model_problems(server: Server, config: object) -> Problems:
    name, platform = getattr(config, "name", ""), getattr(config, "model_platform", "")
    if platform != "tensorflow":
        yield Problem(server.field, f"model {name} has platform {platform!r}", 'write model_platform: "tensorflow"')
    policy = config.model_version_policy  # type: ignore[attr-defined]
    versions = set(policy.specific.versions)
    if policy.HasField("specific") and not versions:
        yield Problem(server.field, f"model {name} names no version", "list the versions, or use latest")
    if policy.HasField("latest") and policy.latest.num_versions < 1:
        yield Problem(server.field, f"model {name} keeps {policy.latest.num_versions} versions", "keep 1 or more")
    early = server.flags.get("allow_version_labels_for_unavailable_models", "false") in {"true", "1", "t"}
    for label in config.version_labels:  # type: ignore[attr-defined]
        if versions and label.value not in versions:
            yield Problem(
                server.field,
                f"label {label.key!r} points at version {label.value}, loaded are {sorted(versions)}",
                "label a loaded version",
            )
        elif not early:
            yield Problem(
                server.field,
                f"label {label.key!r} at start-up stops the server",
                "add --allow_version_labels_for_unavailable_models",
            )


@rule(
    "batching-sane",
    servers,
    why="batching that waits longer than clients do, or batches of one, costs time and gains nothing",
)
def _batching_sane(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    text = world.flag_file(server, "batching_parameters_file")
    if text is None:
        return
    try:
        given = protos.parse("BatchingParameters", text)
    except protos.TextProtoError:
        return  # the rule configs-parse says so
    size, wait = given.max_batch_size.value, given.batch_timeout_micros.value  # type: ignore[attr-defined]
    sizes = list(given.allowed_batch_sizes)  # type: ignore[attr-defined]
    if size < 2:
        yield Problem(server.field, f"max_batch_size is {size}", "set 2 or more, or drop batching")
    if not 0 < wait <= 1_000_000:
        yield Problem(server.field, f"batch_timeout_micros is {wait}", "set up to 1000000 (a second)")
    if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != size):
        yield Problem(server.field, f"allowed_batch_sizes {sizes}", f"let them rise, the last one {size}")
    for limit in ("max_enqueued_batches", "num_batch_threads"):
        if getattr(given, limit).value < 1:
            yield Problem(
                server.field, f"{limit} is not set", "bound it, so that a full queue answers 503 and not late"
            )


@rule(
    "metrics-switched-on",
    servers,
    why="without a monitoring config the server has no metrics at all (tensorflow/serving#462)",
)
def _metrics_switched_on(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    if world.metrics_path(server) is None:
        yield Problem(
            server.field, "serves no metrics", "give --monitoring_config_file with prometheus_config { enable: true }"
        )
    elif not str(world.metrics_path(server)).startswith("/"):
        yield Problem(server.field, f"metrics path {world.metrics_path(server)!r} is not absolute", "start it with /")


@rule(
    "program-in-image",
    workloads,
    why="a script that calls what its image lacks fails for ever, whatever it was meant to watch",
)
def _program_in_image(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].all_containers:
        repository = container.image.partition("@")[0].rpartition(":")[0] or container.image
        lacks = next((gone for name, gone in LACKING.items() if repository.endswith(name)), set())
        texts = [*container.command_line, *_exec_words(container.data)]
        called = {word for text in texts for word in re.findall(r"(?:^|[\s;|&(!/])([a-z0-9]+)(?=\s|$)", text)}
        for program in sorted(lacks & called):
            yield Problem(
                f"{container.field}.args",
                f"calls {program}, which {container.image} does not hold",
                "use what the image has (wget), or another image",
            )


def _exec_words(container: dict[str, object]) -> Iterator[str]:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        command = tree(tree(container.get(probe)).get("exec")).get("command")
        yield from map(str, command or [])


@rule(
    "scripts-read-the-state",
    kinds("ConfigMap"),
    why="model status answers 200 whatever the state, and has no field model_version",
)
def _scripts_read_the_state(obj: Obj, _world: World) -> Problems:
    for key, text in tree(obj.data.get("data")).items():
        if re.search(r"""["']model_version["']""", str(text)):
            yield Problem(
                f"data[{key}]", "reads 'model_version'", "read model_version_status[] and compare state with AVAILABLE"
            )
        elif "/v1/models/" in str(text) and "status_code" in str(text) and "model_version_status" not in str(text):
            yield Problem(
                f"data[{key}]",
                "takes HTTP 200 for health",
                "read model_version_status[] and compare state with AVAILABLE",
            )


@rule(
    "scripts-export-for-serving",
    kinds("ConfigMap"),
    why="Keras 3 refuses model.save() to a folder, and TensorFlow Serving loads what export() writes",
)
def _scripts_export_for_serving(obj: Obj, _world: World) -> Problems:
    for key, text in tree(obj.data.get("data")).items():
        if key.endswith(".py"):
            yield from _script_problems(key, str(text))


def _script_problems(key: str, text: str) -> Problems:
    try:
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    except SyntaxError as error:
        yield Problem(f"data[{key}]", f"is not Python: {error}", "correct it")
        return
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "save" and "keras" in text:
            target = ast.unparse(call.args[0]) if call.args else ""
            if not target.rstrip("'\"").endswith((".keras", ".h5")):
                yield Problem(f"data[{key}]:{call.lineno}", f"saves to {target}", "call model.export(folder)")


@rule("traffic-finds-servers", servers, why="a server behind no Service gets no request")
def _traffic_finds_servers(obj: Obj, world: World) -> Problems:
    ports = {
        workload.port_behind(port)
        for service in world.services_of(obj)
        for workload in [world.workloads[obj]]
        for port in trees(service.spec.get("ports"))
    }
    server = world.servers[obj]
    for what, number in (("REST", server.rest_port), ("gRPC", server.grpc_port)):
        if number and number not in ports:
            yield Problem("metadata.name", f"no Service leads to {what} on {number}", "add the port to its Service")
