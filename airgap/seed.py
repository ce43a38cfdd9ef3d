"""Images as a node's containerd keeps them, unpacked once and shared by all nodes through hard links."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from airgap import cache, node
from airgap.cache import BuildError
from airgap.docker import docker, feed
from airgap.layers import Image
from airgap.progress import step
from airgap.run import run

STORE = "/var/lib/containerd"
START_S = 30.0  # measured: 1 s


def ensure(node_image: str, images: Sequence[Image]) -> Path:
    """A folder to be had as containerd's /var/lib/containerd, with all of the images unpacked. Raises BuildError."""
    wanted = {image.name: image.id() for image in images}

    def build(folder: Path) -> None:
        fill(folder, node_image, images)

    # containerd's own version is Debian's; another file in the node image changes nothing here
    return cache.artefact("seed", {"packages": node.PACKAGES, "images": wanted}, build, 90)


def fill(folder: Path, node_image: str, images: Sequence[Image]) -> None:
    """Import the images with the node image's own containerd, whose store the folder is meanwhile."""
    name = f"shakedown-seed-{folder.name.rpartition('-')[2]}"
    docker(
        *("run", "--detach", "--privileged", "--network", "none", "--name", name, "--label", "dev.shakedown=seed"),
        *("--volume", f"{folder}:{STORE}", "--entrypoint", "containerd", node_image),
        what="starting containerd to unpack images",
    )
    try:
        await_containerd(name)
        importing = ["docker", "exec", "--interactive", name, "ctr", "-n", "k8s.io", "images", "import", "-"]
        feed(importing, images, what="importing images into containerd")
        check(name, images)
        docker("stop", "--time", "30", name, what="stopping containerd")
    finally:
        docker("rm", "--force", "--volumes", name, what="removing containerd's container")


def await_containerd(container: str) -> None:
    """Wait until the container's containerd answers. Raises BuildError with its log."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            docker("exec", container, "ctr", "version", what="asking containerd")
        except BuildError:
            time.sleep(0.3)
        else:
            return
    log = run(["docker", "logs", "--tail", "15", container], what="reading containerd's log")
    raise BuildError(f"containerd did not answer within {START_S:.0f} s:\n{log}")


def check(container: str, images: Sequence[Image]) -> None:
    """Raises BuildError unless containerd has every image, complete and unpacked."""
    said = docker("exec", container, "ctr", "-n", "k8s.io", "images", "check", what="checking the imported images")
    whole = {line.split()[0] for line in said.splitlines() if " complete " in line and line.rstrip().endswith("true")}
    missing = sorted({image.name for image in images} - whole)
    if missing:
        raise BuildError(f"containerd did not take the images {', '.join(missing)}:\n{said}")


def stores(cluster: str) -> Path:
    """The folder of a cluster's stores."""
    return cache.root() / "nodes" / cluster


def node_stores(seed: Path, cluster: str, nodes: int) -> list[Path]:
    """A store of its own for each node of a new cluster, to be mounted at /var/lib/containerd.

    Blobs and unpacked files are hard links to the seed's, since containerd never changes them: it adds and removes
    names only. Its databases are written in place, so they are copied. Raises BuildError.
    """
    remove_stores(cluster)
    folder = stores(cluster)
    folder.mkdir(parents=True)
    made = [folder / str(number) for number in range(nodes)]
    with step(f"linking the images for {nodes} nodes"):
        for store in made:
            run(["cp", "--archive", "--link", seed, store], what=f"linking the images for {cluster}")
            for database in store.glob("*/*.db"):
                database.unlink()
                shutil.copy2(seed / database.relative_to(store), database)
    return made


def remove_stores(cluster: str) -> None:
    """Remove a cluster's stores, if there are any; only when none of its nodes runs any more."""
    shutil.rmtree(stores(cluster), ignore_errors=not stores(cluster).exists())
