"""promtool out of Debian's package, unpacked into the cache and installed nowhere."""

import shutil
from pathlib import Path

from airgap import cache, host
from airgap.run import run

# of the release that the project's images are made of; apt verifies what it fetches
PACKAGE = "prometheus"
VERSION = "2.42.0+ds-5+deb12u1"


def promtool() -> Path:
    """The promtool on PATH, else Debian's from the cache. Raises BuildError where apt can't fetch it."""
    found = shutil.which("promtool")
    return Path(found) if found else fetched() / "promtool"


def fetched() -> Path:
    """The folder that holds Debian's promtool."""

    def build(folder: Path) -> None:
        host.require_programs({"apt-get": "apt", "dpkg-deb": "dpkg"})
        host.apt_update()
        run(["apt-get", "download", f"{PACKAGE}={VERSION}"], what=f"fetching Debian's {PACKAGE}", cwd=folder)
        (package,) = folder.glob("*.deb")
        run(["dpkg-deb", "-x", package.name, "unpacked"], what=f"unpacking {package.name}", cwd=folder)
        shutil.move(folder / "unpacked" / "usr" / "bin" / "promtool", folder / "promtool")
        shutil.rmtree(folder / "unpacked")
        package.unlink()

    return cache.artefact("promtool", {"package": PACKAGE, "version": VERSION}, build, expect_s=10)
