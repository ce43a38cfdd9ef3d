"""One program out of a Debian package, unpacked into the cache and installed nowhere."""

import shutil
from pathlib import Path

from airgap import cache, host
from airgap.run import run


def program(name: str, package: str, version: str) -> Path:
    """The program on PATH, else Debian's from the cache. Raises BuildError where apt can't fetch it.

    `version` is of the release that the project's images are made of; apt verifies what it fetches.
    """
    found = shutil.which(name)
    return Path(found) if found else fetched(name, package, version) / name


def fetched(name: str, package: str, version: str) -> Path:
    """The folder that holds Debian's program."""

    def build(folder: Path) -> None:
        host.require_programs({"apt-get": "apt", "dpkg-deb": "dpkg"})
        host.apt_update()
        run(["apt-get", "download", f"{package}={version}"], what=f"fetching Debian's {package}", cwd=folder)
        (archive,) = folder.glob("*.deb")
        run(["dpkg-deb", "-x", archive.name, "unpacked"], what=f"unpacking {archive.name}", cwd=folder)
        shutil.move(folder / "unpacked" / "usr" / "bin" / name, folder / name)
        shutil.rmtree(folder / "unpacked")
        archive.unlink()

    return cache.artefact(name, {"package": package, "version": version}, build, expect_s=10)
