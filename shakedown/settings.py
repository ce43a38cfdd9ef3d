"""Every tunable once: from the command line, the environment (SHAKEDOWN_*), and shakedown.toml, in this order."""

import difflib
import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

CONFIG_FILE = "shakedown.toml"
OPT_IN_LABEL = "shakedown.dev/opt-in"


class SettingsError(Exception):
    """A setting is misspelt, or its value is not possible; the message names it and its source."""


class Clock(StrEnum):
    """Whose periods hold: the shipped ones, or short ones for a run at a desk."""

    FAST = "fast"
    FAITHFUL = "faithful"


class Profile(StrEnum):
    """How much is asked."""

    SMOKE = "smoke"
    ACCEPTANCE = "acceptance"
    CONFORMANCE = "conformance"


class Provider(StrEnum):
    """Where the cluster comes from."""

    KIND = "kind"
    EXISTING = "existing"


class Images(StrEnum):
    """Where images come from: registries, package registries only, or whichever can be had."""

    AUTO = "auto"
    REGISTRY = "registry"
    AIRGAP = "airgap"


class Backend(StrEnum):
    """Which model server is spoken to; each has its module in shakedown/backends."""

    TENSORFLOW = "tensorflow"
    TORCHSERVE = "torchserve"


class Ports(NamedTuple):
    """A server's ports; 0 for one that it doesn't have apart from REST's."""

    rest: int
    grpc: int
    management: int = 0
    metrics: int = 0


class Section(BaseModel):
    """A part of the settings; a name that it doesn't know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Deadlines(Section):
    """The latest that a thing may happen, in seconds on 2 cores; reached only when something is wrong."""

    cluster: float = Field(120, gt=0, description="all nodes Ready, from the start of `kind create`")
    pods: float = Field(60, gt=0, description="a small pod runs and is Ready")
    stack: float = Field(100, gt=0, description="the whole serving stack is up, applied to an empty cluster")
    rollout: float = Field(240, gt=0, description="a change to the whole serving stack is rolled out, pod after pod")
    deletion: float = Field(90, gt=0, description="deleted objects are gone")
    alert: float = Field(240, gt=0, description="an alert has reached its receiver, from its cause, on the fast clock")
    slow_alert: float = Field(
        30000, gt=0, description="the same on the faithful clock, whose longest window is 6 hours"
    )
    packet: float = Field(3, gt=0, description="a packet arrives, or is known not to")


class Objectives(Section):
    """What users were promised."""

    replicas: int = Field(3, gt=0, description="servers that are ready at the least, whatever the autoscaler says")
    nodes_ready: float = Field(60, gt=0, description="seconds from `kind create` to all nodes Ready, images built")
    prediction: float = Field(0.25, gt=0, description="seconds a lone prediction takes on average, connection included")
    drain: float = Field(
        3, gt=0, description="seconds that a server which is told to go still has for what it has begun"
    )
    latency_p50: float = Field(
        0.1, gt=0, description="seconds that half of the predictions take at most, at latency_rate"
    )
    latency_p99: float = Field(
        0.5, gt=0, description="seconds that 99 in 100 predictions take at most, at latency_rate"
    )
    crowded: float = Field(
        1.0, gt=0, description="seconds that 99 in 100 predictions take at most, while servers start for more load"
    )
    latency_rate: float = Field(40, gt=0, description="predictions a second at which latency is promised")
    calm: float = Field(900, gt=0, description="seconds that servers may outlive the load that needed them")
    lite_agreement: float = Field(0.98, gt=0, le=1, description="share of labels that TFLite models share with theirs")
    lite_accuracy_loss: float = Field(0.01, ge=0, description="accuracy that conversion to TFLite may cost, of 1")
    refusal: float = Field(1.0, gt=0, description="seconds within which the seal refuses a packet")


class Faults(Section):
    """What faults may do at the most."""

    namespaces: int = Field(2, gt=0, description="namespaces that are hurt at once")
    share: float = Field(0.67, gt=0, le=1, description="of the servers that are hurt at once; one always may be")
    seconds: float = Field(600, gt=0, description="how long one may last, even if the run dies")
    proof: float = Field(90, gt=0, description="how long one may take to show that it bit; a lost node is noticed late")
    rate: float = Field(50, gt=0, description="predictions a second that go on meanwhile")


class Deployment(Section):
    """The names of what is verified, as the manifests spell them.

    The Deployment's HorizontalPodAutoscaler and PodDisruptionBudget bear its name. What a deployment doesn't have is
    empty; promises that need it are not asked then.
    """

    namespace: str = "model-serving"
    workload: str = Field("tensorflow-serving", description="the Deployment")
    service: str = Field("tensorflow-serving", description="that leads to its pods")
    rest_port: int = Field(8501, gt=0, le=65535, description="of the container")
    grpc_port: int = Field(8500, ge=0, le=65535, description="of the container; 0: none that is asked")
    management_port: int = Field(0, ge=0, le=65535, description="of the container, to nobody outside it; 0: none")
    metrics_port: int = Field(0, ge=0, le=65535, description="of the container; 0: the REST port")
    model: str = "digits"
    version: int = Field(0, ge=0, description="that is served; 0: the highest of the golden ones")
    batch: int = Field(32, gt=0, description="predictions that one request may hold: max_batch_size")
    golden: str = Field("", description="folder with golden.npz and golden.json; empty: this project's own models")
    hostname: str = Field("digits.test", description="by which the front door routes")
    whole_door: bool = Field(
        default=True, description="the front door takes gRPC and every path, not only the model's over REST"
    )
    monitoring: str = Field("monitoring", description="the namespace of a Prometheus stack, as this project's")

    @property
    def ports(self) -> Ports:
        """The container's ports."""
        return Ports(self.rest_port, self.grpc_port, self.management_port, self.metrics_port)

    @property
    def public_ports(self) -> tuple[int, ...]:
        """The container's ports that users' requests come in by: REST's, and gRPC's where there is one."""
        return tuple(port for port in (self.rest_port, self.grpc_port) if port)

    def lacks(self, needed: Iterable[str]) -> list[str]:
        """Which of these a deployment does not have."""
        return [name for name in needed if not getattr(self, name)]


# a back end's names in this project's own manifests, where they aren't TensorFlow Serving's
NAMES: dict[Backend, dict[str, Any]] = {
    Backend.TENSORFLOW: {},
    Backend.TORCHSERVE: {
        "workload": "torchserve",
        "service": "torchserve",
        "rest_port": 8080,
        "grpc_port": 0,
        "management_port": 8081,
        "metrics_port": 8082,
    },
}


class Settings(BaseSettings):
    """All settings of a run."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="SHAKEDOWN_", env_nested_delimiter="__", toml_file=CONFIG_FILE
    )

    profile: Profile = Profile.ACCEPTANCE
    clock: Clock | None = Field(None, description="fast, but faithful where the profile is conformance")
    backend: Backend = Backend.TENSORFLOW
    images: Images = Images.AUTO
    cluster_provider: Provider = Provider.KIND
    kube_context: str = Field("", description="of an existing cluster; never taken from the kubeconfig's current one")
    gateway_port: int = Field(0, ge=0, le=65535, description="on 127.0.0.1; 0 chooses a free one")
    load_workers: int = Field(0, ge=0, description="that send load from inside the cluster; 0: one process beside it")
    deadlines: Deadlines = Deadlines()
    objectives: Objectives = Objectives()
    faults: Faults = Faults()
    deployment: Deployment = Deployment()

    @property
    def pace(self) -> Clock:
        """The clock that holds: the one that was asked for, else the profile's."""
        return self.clock or (Clock.FAITHFUL if self.profile is Profile.CONFORMANCE else Clock.FAST)

    @model_validator(mode="before")
    @classmethod
    def name_by_backend(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What the deployment leaves unnamed has its back end's names."""
        names, asked = NAMES.get(given.get("backend", ""), {}), given.get("deployment", {})
        return {**given, "deployment": {**names, **asked}} if names and isinstance(asked, dict) else given

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options win over the environment, and that over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(options: dict[str, Any], environment: dict[str, str], file: Path | None = None) -> Settings:
    """The settings of a run.

    `options` holds what the command line named (None: not named), `file` is read in place of shakedown.toml. Raises
    SettingsError for a name that doesn't exist, with the nearest that does, for a value that is not possible, and for
    a named file that isn't there.
    """
    refuse_unknown_variables(environment)
    if file is not None and not file.is_file():
        raise SettingsError(f"there is no file {file}")
    try:
        given = {name: value for name, value in options.items() if value is not None}
        settings = (Settings if file is None else reading(file))(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(explain(dict(e)) for e in error.errors())) from error
    except ValueError as error:  # the TOML doesn't parse
        raise SettingsError(f"{file or CONFIG_FILE}: {error}") from error
    if settings.cluster_provider is Provider.EXISTING and not settings.kube_context:
        raise SettingsError("--cluster-provider existing needs --kube-context NAME: no cluster is guessed")
    if settings.kube_context and settings.cluster_provider is Provider.KIND:
        raise SettingsError("--kube-context goes with --cluster-provider existing; kind makes a context of its own")
    refuse_workers(settings)
    return settings


def refuse_workers(settings: Settings) -> None:
    """Raise SettingsError for load workers where they must not be, or could not do what they are for."""
    cores = os.cpu_count() or 1
    if settings.load_workers and settings.cluster_provider is Provider.EXISTING:
        raise SettingsError(
            "--load-workers goes with the run's own cluster only: nothing is applied to an existing one; leave it out,"
            " and load comes from this machine"
        )
    if settings.load_workers > cores:
        raise SettingsError(
            f"--load-workers {settings.load_workers}: a worker may need a whole core, and this machine has {cores} for"
            f" all of them; {cores} at most"
        )


def reading(file: Path) -> type[Settings]:
    """The settings, with another file in place of shakedown.toml."""

    class Named(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    return Named


def names(model: type[BaseModel]) -> list[str]:
    """Every setting's full name, with a dot between section and name."""
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += [f"{name}.{rest}" for rest in names(inner)]
        found.append(name)
    return found


def nearest(name: str) -> str:
    """A hint at the setting that was perhaps meant."""
    close = difflib.get_close_matches(name, names(Settings), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(names(Settings)))}"


def explain(error: dict[str, Any]) -> str:
    """One line on one thing that pydantic refused."""
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no setting {name!r} (shakedown.toml or option){nearest(name)}"
    return f"{name} = {error['input']!r}: {error['msg']}"


def refuse_unknown_variables(environment: dict[str, str]) -> None:
    """Raise SettingsError for a SHAKEDOWN_ variable that sets nothing."""
    known = {f"SHAKEDOWN_{name.replace('.', '__')}".upper() for name in names(Settings)} | {"SHAKEDOWN_CACHE"}
    for variable in environment:
        if variable.upper().startswith("SHAKEDOWN_") and variable.upper() not in known:
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(f"environment variable {variable} sets nothing{hint}")
