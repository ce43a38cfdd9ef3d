import re
import shlex
from dataclasses import dataclass
from functools import cached_property

from shakedown.lint.workload import Container, Workload

# flags of tensorflow_model_server (tensorflow_serving/model_servers/main.cc), and what they take
FLAGS: dict[str, type] = {
    "port": int, "rest_api_port": int, "grpc_socket_path": str, "rest_api_timeout_in_ms": int,
    "rest_api_num_threads": int, "rest_api_enable_cors_support": bool, "grpc_max_threads": int,
    "model_name": str, "model_base_path": str, "model_config_file": str,
    "model_config_file_poll_wait_seconds": int, "file_system_poll_wait_seconds": int,
    "max_num_load_retries": int, "load_retry_interval_micros": int, "enable_batching": bool,
    "batching_parameters_file": str, "allow_version_labels_for_unavailable_models": bool,
    "monitoring_config_file": str, "enable_model_warmup": bool, "ssl_config_file": str,
    "enable_grpc_healthcheck_service": bool, "grpc_channel_arguments": str, "flush_filesystem_caches": bool,
    "num_load_threads": int, "num_unload_threads": int, "per_process_gpu_memory_fraction": float,
    "tensorflow_session_parallelism": int, "tensorflow_intra_op_parallelism": int,
    "tensorflow_inter_op_parallelism": int, "saved_model_tags": str, "platform_config_file": str,
    "enable_signature_method_name_check": bool, "xla_cpu_compilation_enabled": bool,
    "enable_profiler": bool, "thread_pool_factory_config_file": str, "mixed_precision": str,
    "skip_initialize_tpu": bool, "remove_unused_fields_from_bundle_metagraph": bool,
    "prefer_tflite_model": bool, "num_tflite_pools": int, "num_tflite_interpreters_per_pool": int,
    "num_request_iterations_for_warmup": int, "version": bool, "use_alts_credentials": bool,
    "num_request_iterations_for_warmup_per_record": int, "enable_per_model_batching_parameters": bool,
    "enable_serialization_as_tensor_content": bool, "enable_forward_compatibility": bool,
}  # fmt: skip
FLAG = re.compile(r"--?([A-Za-z_]\w*)(?:=(.*))?", re.DOTALL)
IMAGE = re.compile(r"(^|/)(tensorflow/serving|tensorflow-serving|model-server)(-gpu)?([:@]|$)")
BINARY = "tensorflow_model_server"
METRICS_PATH = "/monitoring/prometheus/metrics"  # the default of prometheus_config.path
OWN_FLAGS = {"model_base_path", "model_config_file", "rest_api_port", "batching_parameters_file"}


@dataclass(frozen=True, eq=False)
class Server:
    """A container that runs the TensorFlow model server, and its command line as the server would read it."""

    workload: Workload
    container: Container

    @cached_property
    def words(self) -> list[str]:
        """The server's arguments, taken out of a shell's -c string where there is one."""
        words: list[str] = []
        for word in self.container.command_line:
            words += shell_words(word) if BINARY in word and " " in word.strip() else [word]
        if any(w.endswith(BINARY) for w in words):
            words = words[max(i for i, w in enumerate(words) if w.endswith(BINARY)) + 1 :]
        return words

    @cached_property
    def flags(self) -> dict[str, str]:
        """Flags by name; the last one counts; a bare flag is `true`."""
        given = (FLAG.fullmatch(word) for word in self.words)
        return {f[1]: "true" if f[2] is None else f[2] for f in given if f}

    @property
    def field(self) -> str:
        """Where the arguments stand in the object."""
        return f"{self.container.field}.args"

    def number(self, flag: str, default: int) -> int:
        """A flag's number; the default where it is left out or no number."""
        value = self.flags.get(flag, str(default))
        return int(value) if re.fullmatch(r"-?\d+", value) else default

    @property
    def starts_by_entrypoint(self) -> bool:
        """Whether the image's shell entrypoint runs, which adds ports and model from the environment."""
        return not self.container.data.get("command")

    @property
    def rest_port(self) -> int:
        """The REST port; 0 is off. The image's entrypoint sets 8501, the server itself none."""
        return self.number("rest_api_port", 8501 if self.starts_by_entrypoint else 0)

    @property
    def grpc_port(self) -> int:
        """The gRPC port; 0 is off."""
        return self.number("port", 8500)

    @property
    def model(self) -> tuple[str, str] | None:
        """Name and base path of the single model of the flags or the environment, None with a config file."""
        if "model_config_file" in self.flags:
            return None
        if self.starts_by_entrypoint:
            name = self.container.env.get("MODEL_NAME", "model")
            base = f"{self.container.env.get('MODEL_BASE_PATH', '/models')}/{name}"
        else:
            name, base = "default", ""
        return self.flags.get("model_name", name), self.flags.get("model_base_path", base)


def shell_words(line: str) -> list[str]:
    """A shell line's words; split at blanks where its quotes are unbalanced."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def is_server(container: Container) -> bool:
    """Whether a container runs the model server: by its image, its binary, or two of its flags."""
    words = container.command_line
    if IMAGE.search(container.image) or any(BINARY in word for word in words):
        return True
    names = {found[1] for word in words if (found := FLAG.fullmatch(word))}
    return len(names & OWN_FLAGS) >= 2
