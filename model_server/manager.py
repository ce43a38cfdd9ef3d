"""Loads and unloads versions so that a model that is served stays served, and knows each version's state.

One thread does all loading, as the real server's manager does by default; a slow load or its retries hold up the next.
The maps that requests read are replaced, never changed: readers need no lock.
"""

import ctypes
import gc
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import model_server_config_pb2

from model_server import store, warmup
from model_server.flags import Flags
from model_server.log import say
from model_server.servable import Servable
from model_server.status import Code, StatusError, invalid

State = get_model_status_pb2.ModelVersionStatus.State
RELEASE_POLL_S = 0.01
SWEEP_S = 1.0
PLATFORM = "tensorflow"


@dataclass(frozen=True)
class VersionState:
    """Where a version is in its life, and what went wrong."""

    state: "get_model_status_pb2.ModelVersionStatus.State.ValueType"
    error: StatusError | None = None


@dataclass(frozen=True)
class LoadReport:
    """One attempt to load, for the metrics, which live on the event loop."""

    folder: str
    seconds: float
    error: StatusError | None
    warmup_seconds: float | None


class Manager:
    """All models and their versions."""

    def __init__(self, flags: Flags, report: Callable[[LoadReport], None]) -> None:
        self.flags = flags
        self.report = report
        self.config = model_server_config_pb2.ModelServerConfig()
        self.available: Mapping[str, Mapping[int, Servable]] = {}
        self.states: Mapping[str, Mapping[int, VersionState]] = {}
        self.labels: Mapping[str, Mapping[str, int]] = {}
        self.work = threading.RLock()  # held by whoever loads or changes the configuration

    # --- requests, on the event loop ---

    def find(self, spec: model_pb2.ModelSpec) -> Servable:
        """The version that a request asks for; raises StatusError where it is not served."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        versions = self.available.get(spec.name)
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            if not versions:
                raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
            return versions[max(versions)]
        version = spec.version.value if choice == "version" else self.labelled(spec.name, spec.version_label)
        if not versions or version not in versions:
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Specific({spec.name}, {version})")
        return versions[version]

    def labelled(self, name: str, label: str) -> int:
        """The version that a label points at; raises StatusError for a label that there is not."""
        labels = self.labels.get(name, {})
        if label not in labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return labels[label]

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions, the highest first; raises StatusError where there are none."""
        states = self.states.get(spec.name, {})
        if spec.WhichOneof("version_choice") == "version":
            if spec.version.value not in states:
                text = f"Could not find version {spec.version.value} of model {spec.name}"
                raise StatusError(Code.NOT_FOUND, text)
            states = {spec.version.value: states[spec.version.value]}
        if not states:
            raise StatusError(Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in sorted(states, reverse=True):
            state = states[version]
            one = response.model_version_status.add(version=version, state=state.state)
            one.status.error_code = state.error.code.value if state.error else Code.OK.value
            one.status.error_message = state.error.message if state.error else ""
        return response

    # --- configuration, in the manager's thread or a reload request's ---

    def apply(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Take over a configuration and wait until its models are available.

        Raises StatusError for a configuration that is not allowed, for a label of a version that is not available, or
        where a model failed to load.
        """
        with self.work:
            if config.WhichOneof("config") is None:
                say("Taking no action for empty config.")
                return
            check(config)
            labels = self.checked_labels(config)
            self.config, self.labels = config, labels
            if self.flags.file_system_poll_wait_seconds >= 0:
                self.poll()
            while not self.all_available():
                time.sleep(max(self.flags.file_system_poll_wait_seconds, 1))
                if self.flags.file_system_poll_wait_seconds > 0:
                    self.poll()

    def checked_labels(self, config: model_server_config_pb2.ModelServerConfig) -> Mapping[str, Mapping[str, int]]:
        """The labels of a configuration; raises StatusError where one points at a version that is not available."""
        labels: dict[str, dict[str, int]] = {}
        for model in config.model_config_list.config:
            for label, version in model.version_labels.items():
                present = self.labels.get(model.name, {}).get(label, version)
                lenient = self.flags.allow_version_labels_for_unavailable_models and present == version
                if not lenient and version not in self.available.get(model.name, {}):
                    raise StatusError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {model.name}, which is not currently"
                        " available for inference",
                    )
                labels.setdefault(model.name, {})[label] = version
        return labels

    def all_available(self) -> bool:
        """Whether each model has a version that serves; raises StatusError once the rest have failed all they had."""
        failures = []
        waiting = False
        for model in self.config.model_config_list.config:
            if self.available.get(model.name):
                continue
            failed = {version: state.error for version, state in self.states.get(model.name, {}).items() if state.error}
            waiting = waiting or not failed
            if failed:
                version = max(failed)
                failures.append(f"{{{{name: {model.name} version: {version}}} due to error: {failed[version]}}}, ")
        if failures and not waiting:
            text = f"{len(failures)} servable(s) did not become available: {{{''.join(failures)}}}"
            raise StatusError(Code.UNKNOWN, text)
        return not waiting

    # --- transitions, in the manager's thread ---

    def poll_forever(self) -> None:
        """Look at the file system again and again, for as long as the process lives."""
        while True:
            time.sleep(self.flags.file_system_poll_wait_seconds)
            with self.work:
                self.poll()

    def poll(self) -> None:
        """Bring what is served in line with the file system; a missing base path stops the round for all models."""
        try:
            wanted = store.wanted_of_all(self.config)
        except StatusError as error:
            say(f"FileSystemStoragePathSource encountered a filesystem access error: {error.message}")
            return
        for name in [*wanted, *(name for name in self.available if name not in wanted)]:
            self.transition(name, wanted.get(name, {}))

    def transition(self, name: str, wanted: Mapping[int, Path]) -> None:
        """Load what is wanted, the highest version first; unload the rest once something wanted serves."""
        self.forget_failures(name, wanted)
        for version in sorted(wanted, reverse=True):
            if version not in self.available.get(name, {}) and not self.failed(name, version):
                self.load(name, version, wanted[version])
        serving = set(self.available.get(name, {}))  # the numbers only: a servable is freed once nobody refers to it
        if wanted and not serving & set(wanted):
            return
        for version in sorted(serving - set(wanted)):
            self.unload(name, version)

    def failed(self, name: str, version: int) -> bool:
        """Whether the version was tried and given up."""
        state = self.states.get(name, {}).get(version)
        return state is not None and state.error is not None

    def forget_failures(self, name: str, wanted: Mapping[int, Path]) -> None:
        """A failed version that is gone gets a new chance when it comes back."""
        for version, state in self.states.get(name, {}).items():
            if state.error and version not in wanted:
                self.set_state(name, version, VersionState(State.END))

    def load(self, name: str, version: int, folder: Path) -> None:
        """Load one version, with the retries that the flags allow; its end state says how it went."""
        self.set_state(name, version, VersionState(State.START))
        self.set_state(name, version, VersionState(State.LOADING))
        for attempt in range(self.flags.max_num_load_retries + 1):
            if attempt:
                time.sleep(self.flags.load_retry_interval_micros / 1e6)
            try:
                servable = self.attempt(name, version, folder)
            except StatusError as error:
                say(f"Loading servable: {{name: {name} version: {version}}} failed: {error}")
                last = error
                if not folder.exists():
                    break
                continue
            self.publish(name, {**self.available.get(name, {}), version: servable})
            self.set_state(name, version, VersionState(State.AVAILABLE))
            say(f"Successfully loaded servable version {{name: {name} version: {version}}}")
            return
        self.set_state(name, version, VersionState(State.END, last))

    def attempt(self, name: str, version: int, folder: Path) -> Servable:
        """Load and warm up once; raises StatusError."""
        started = time.perf_counter()
        warmed: float | None = None
        failure: StatusError | None = None
        try:
            servable = Servable(name, version, folder, self.flags.saved_model_tags.split(","))
            loaded = time.perf_counter()
            if self.flags.enable_model_warmup and self.warm_up(servable):
                warmed = time.perf_counter() - loaded
        except StatusError as error:
            failure = error
            raise
        finally:
            self.report(LoadReport(str(folder), time.perf_counter() - started - (warmed or 0), failure, warmed))
        return servable

    def warm_up(self, servable: Servable) -> bool:
        """Replay the warm-up records; a failing one closes the session again."""
        try:
            return warmup.warm_up(servable)
        except StatusError:
            servable.close()
            raise

    def unload(self, name: str, version: int) -> None:
        """Stop serving a version, wait for its last request, and give its memory back to the system."""
        self.set_state(name, version, VersionState(State.UNLOADING))
        left = dict(self.available[name])
        servable = left.pop(version)
        self.publish(name, left)
        closing = weakref.finalize(servable, servable.session.close)
        del servable
        gc.collect()
        swept = time.monotonic()
        while closing.alive:
            time.sleep(RELEASE_POLL_S)
            if time.monotonic() - swept > SWEEP_S:  # a refused request's traceback may hold it in a cycle
                gc.collect()
                swept = time.monotonic()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        self.set_state(name, version, VersionState(State.END))
        say(f"Unloaded servable version {{name: {name} version: {version}}}")

    def publish(self, name: str, versions: Mapping[int, Servable]) -> None:
        """Replace the map of what is served."""
        others = {other: served for other, served in self.available.items() if other != name}
        self.available = {**others, name: versions} if versions else others

    def set_state(self, name: str, version: int, state: VersionState) -> None:
        """Replace the map of states."""
        self.states = {**self.states, name: {**self.states.get(name, {}), version: state}}


def check(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Raise StatusError for a configuration that the server refuses as a whole."""
    if config.WhichOneof("config") != "model_config_list":
        raise StatusError(Code.UNIMPLEMENTED, "ModelServer does not yet support custom model config.")
    seen: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in seen:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        seen.add(model.name)
        if not model.base_path.startswith("/") and "://" not in model.base_path:
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        if not model.model_platform and not model.model_type:
            raise invalid(
                f"Illegal setting neither ModelServerConfig::model_type (deprecated) nor model_platform."
                f" Model: {model.name}"
            )
        if (model.model_platform or PLATFORM) != PLATFORM:
            raise invalid(f"Servable platform {model.model_platform} of model {model.name} is not supported")
