"""What the build asks of this machine: its architecture, root, Debian's packages, disk space."""

import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from airgap.cache import BuildError
from airgap.progress import say, step
from airgap.run import run

GIB = 1024**3
INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_INSTANCES = 1024


def require_architecture() -> None:
    """Raises BuildError where the pinned programs don't run."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise BuildError(
            f"the offline images are built for Linux on x86_64; this is {platform.system()} on "
            f"{platform.machine()}: use --images registry"
        )


def require_root(why: str) -> None:
    """Raises BuildError when not root; `why` says what root is needed for."""
    if os.geteuid() != 0:
        raise BuildError(f"{why} needs root: run it as root once (for example `sudo make images`)")


def allow_clusters() -> None:
    """Raise the kernel's limit of inotify instances per user where it is Linux's low default. Needs root.

    With 128 the kubelets of a third cluster at once die, measured: "inotify_init: too many open files".
    """
    if int(INOTIFY_INSTANCES.read_text()) < ENOUGH_INSTANCES:
        INOTIFY_INSTANCES.write_text(str(ENOUGH_INSTANCES))
        say(f"raised {INOTIFY_INSTANCES} to {ENOUGH_INSTANCES}, for several clusters at once")


def require_disk(folder: Path, gib: float, what: str) -> None:
    """Raises BuildError when `folder`'s file system has less than `gib` GiB free for `what`."""
    free = shutil.disk_usage(folder).free / GIB
    if free < gib:
        raise BuildError(
            f"{what} needs {gib:.0f} GiB free in {folder}, there are {free:.1f} GiB: free some space, "
            "or name a folder on a bigger disk in SHAKEDOWN_CACHE"
        )


def require_programs(programs: dict[str, str]) -> None:
    """Install the Debian packages of the programs that are missing; `programs` maps program to package.

    Raises BuildError when one is missing and can't be installed here.
    """
    missing = sorted({package for program, package in programs.items() if not find(program)})
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise BuildError(f"this needs the Debian packages {names}, and there is no apt-get to install them")
    require_root(f"installing the Debian packages {names}")
    apt_install(missing)


def find(program: str) -> str | None:
    """Where `program` is, the system folders included that a user's PATH may leave out."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def apt_update() -> None:
    """Fetch apt's lists: a new machine has none, and without them no package can be fetched."""
    run(["apt-get", "update", "-q"], what="apt-get update", env={"DEBIAN_FRONTEND": "noninteractive"})


def apt_install(packages: Sequence[str]) -> None:
    """Install Debian packages without what they merely recommend."""
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(packages)}", 60):
        apt_update()
        run(
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages],
            what=f"apt-get install {' '.join(packages)}",
            env=environment,
        )
