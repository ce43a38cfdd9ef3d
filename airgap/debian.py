"""Debian root file systems and unpacked packages, as image layers."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from airgap import cache, host
from airgap.cache import BuildError
from airgap.layers import Layer, layer
from airgap.run import run

SUITE = "bookworm"
PROGRAMS = {"debootstrap": "debootstrap", "apt-get": "apt", "dpkg-deb": "dpkg", "unshare": "util-linux"}
# folders that a running image has no use for
PRUNED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")
# folders whose contents are caches, or provided by the engine
EMPTIED = ("dev", "proc", "sys", "tmp", "var/cache", "var/lib/apt/lists", "var/log")
# what debootstrap copies from this machine
OF_THE_HOST = ("etc/hostname", "etc/resolv.conf")


def base(name: str, packages: Sequence[str], expect_s: float) -> Layer:
    """A layer with a minimal Debian and `packages`. Needs root. Raises BuildError."""

    def bootstrap(folder: Path) -> None:
        host.require_root("making a Debian root file system with debootstrap")
        host.require_programs(PROGRAMS)
        downloads = cache.root() / "debs"
        downloads.mkdir(exist_ok=True)
        command: list[str | Path] = [
            # in namespaces of its own: what debootstrap mounts and starts goes away with it, however it ends
            *(
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                host.find("debootstrap") or "debootstrap",
                "--variant=minbase",
            ),
            *(f"--cache-dir={downloads}", f"--include={','.join(packages)}", SUITE),
        ]
        run([*command, folder, *mirror()], what="debootstrap")
        prune(folder)

    recipe = {"suite": SUITE, "packages": sorted(packages), "left out": [PRUNED, EMPTIED, OF_THE_HOST]}
    return layer(name, recipe, bootstrap, expect_s)


def mirror() -> list[str]:
    """The mirror that this machine's apt uses for the suite; nothing (debootstrap's own default) where it has none."""
    try:
        sites = run(
            ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", f"Codename: {SUITE}"],
            what="asking apt for its mirror",
        )
    except BuildError:
        return []
    return sites.split()[:1]


def prune(folder: Path) -> None:
    """Leave out documentation, caches, devices, and what names this machine."""
    for path in (*PRUNED, *EMPTIED):
        shutil.rmtree(folder / path, ignore_errors=True)
    for path in EMPTIED:
        (folder / path).mkdir()
    (folder / "tmp").chmod(0o1777)
    for path in OF_THE_HOST:
        (folder / path).write_text("")


def unpack(folder: Path, *packages: str) -> None:
    """Unpack the newest version of Debian packages into `folder`, without what they depend on. Raises BuildError."""
    debs = folder / ".debs"
    debs.mkdir()
    host.apt_update()
    # apt's own sandbox user may not write here
    fetch = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages]
    run(fetch, what=f"fetching the Debian packages {' '.join(packages)}", cwd=debs)
    for deb in debs.glob("*.deb"):
        run(["dpkg-deb", "-x", deb, folder], what=f"unpacking {deb.name}")
    shutil.rmtree(debs)
