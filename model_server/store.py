"""Which versions of a model the file system holds, and which of them its policy wants."""

from collections.abc import Mapping
from pathlib import Path

from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from model_server.log import say
from model_server.status import Code, StatusError

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


def versions_in(name: str, base: Path) -> dict[int, Path]:
    """The version folders below a model's base path: those whose names are numbers.

    Raises StatusError NOT_FOUND where the base path does not exist.
    """
    try:
        children = list(base.iterdir())
    except OSError as error:
        text = f"Could not find base path {base} for servable {name} with error {error.strerror}"
        raise StatusError(Code.NOT_FOUND, text) from error
    return {int(child.name): child for child in children if child.name.isascii() and child.name.isdigit()}


def wanted(config: model_server_config_pb2.ModelConfig) -> dict[int, Path]:
    """The versions that the model's policy selects of those there are; by default the latest one."""
    there = versions_in(config.name, Path(config.base_path))
    if not there:
        say(
            f"No versions of servable {config.name} found under base path {config.base_path}. Did you forget to name"
            " your leaf directory as a number (eg. '/1/')?"
        )
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return there
    if kind == "specific":
        for version in policy.specific.versions:
            if version not in there:
                say(
                    f"Version {version} of servable {config.name}, which was requested to be served as a 'specific'"
                    " version in the servable's config, was not found in the file system"
                )
        return {version: there[version] for version in policy.specific.versions if version in there}
    count = (policy.latest.num_versions if kind == "latest" else 0) or 1
    return {version: there[version] for version in sorted(there)[-count:]}


def wanted_of_all(config: model_server_config_pb2.ModelServerConfig) -> Mapping[str, Mapping[int, Path]]:
    """The wanted versions of every model; raises StatusError where one base path is missing, for all of them."""
    return {model.name: wanted(model) for model in config.model_config_list.config}
