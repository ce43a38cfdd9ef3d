"""Definitions of custom resources, out of the Go modules of the projects that own them, pinned by version and sum."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from airgap import cache
from airgap.golang import module_dir


@dataclass(frozen=True)
class Source:
    """YAML files inside a Go module; `sha` is the module's sum as go.sum writes it."""

    name: str
    module: str
    version: str
    sha: str
    files: str  # a glob inside the module


GATEWAY_API = Source(
    "gateway-api",
    "sigs.k8s.io/gateway-api",
    "v1.6.3",
    "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
    "config/crd/standard/*.yaml",
)
PROMETHEUS_OPERATOR = Source(
    "prometheus-operator",
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
    "example/prometheus-operator-crd/*.yaml",
)


def gateway_api() -> Path:
    """A folder with the standard channel of the Gateway API. Raises BuildError."""
    return folder_of(GATEWAY_API)


def prometheus_operator() -> Path:
    """A folder with the Prometheus operator's definitions. Raises BuildError."""
    return folder_of(PROMETHEUS_OPERATOR)


def folder_of(source: Source) -> Path:
    """A folder in the cache with the source's YAML files and nothing else. Raises BuildError."""

    def copy(folder: Path) -> None:
        files = sorted(module_dir(source.module, source.version, source.sha).glob(source.files))
        if not files:
            raise cache.BuildError(f"the Go module {source.module} {source.version} has no files {source.files}")
        for file in files:
            shutil.copyfile(file, folder / file.name)

    recipe = {"module": source.module, "version": source.version, "sha": source.sha, "files": source.files}
    return cache.artefact(f"crds-{source.name}", recipe, copy)
