"""Images as a node's containerd keeps them, unpacked once and shared by all nodes through hard links.

Containerd never changes a blob or an unpacked file: it adds and removes names. Only its databases are written in place.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from airgap import cache, node
from airgap.cache import BuildError
from airgap.docker import docker, feed
from airgap.layers import Image
from airgap.progress import step
from airgap.run import run, tail

STORE = "/var/lib/containerd"
CONTENTS = "shakedown.json"  # beside containerd's own folders: image name to image id
# containerd until standard input ends, then a clean stop
WHILE_READING = "containerd & cat >/dev/null; kill $! && wait $!"
START_S = 30.0  # measured: 1 s


def ensure(node_image: str, images: Sequence[Image]) -> Path:
    """A folder to be had as containerd's /var/lib/containerd, with all of the images unpacked. Raises BuildError.

    `node_image` is the name of a node image that the engine has; its containerd does the work.
    """
    wanted = {image.name: image.id() for image in images}

    def build(folder: Path) -> None:
        base = closest(wanted)
        if base:
            link(base, folder)
        fill(folder, node_image, images)
        (folder / CONTENTS).write_text(json.dumps(wanted))

    # containerd is Debian's: another file in the node image changes nothing here
    return cache.artefact("seed", {"containerd": node.PACKAGES, "images": wanted}, build, 90)


def closest(wanted: Mapping[str, str]) -> Path | None:
    """The seed that has the most of the wanted images already, if any has one."""
    shared = {
        path.parent: len(wanted.items() & json.loads(path.read_text()).items())
        for path in cache.root().glob(f"seed-*/{CONTENTS}")
    }
    best = max(shared, key=lambda seed: shared[seed], default=None)
    return best if best and shared[best] else None


def contents(folder: Path) -> dict[str, str]:
    """The images of a seed, name to id; none for a new one."""
    file = folder / CONTENTS
    return dict(json.loads(file.read_text())) if file.exists() else {}


def fill(folder: Path, node_image: str, images: Sequence[Image]) -> None:
    """Make the folder's images the wanted ones, with the node image's own containerd, whose store it is meanwhile."""
    present = contents(folder)
    wanted = {image.name: image.id() for image in images}
    with containerd(folder, node_image) as name:
        outdated = [image for image, known in present.items() if wanted.get(image) != known]
        if outdated:
            ctr(name, "images", "rm", "--sync", *outdated)
        missing = [image for image in images if present.get(image.name) != image.id()]
        importing = ["docker", "exec", "--interactive", name, "ctr", "-n", "k8s.io", "images", "import", "-"]
        feed(importing, missing, what="importing images into containerd")
        check(name, images)


@contextmanager
def containerd(folder: Path, node_image: str) -> Iterator[str]:
    """The name of a container whose containerd keeps its store in the folder. Raises BuildError.

    The container ends cleanly with the block, and with this process, however that ends: it reads from it.
    """
    name = f"shakedown-seed-{folder.name.rpartition('-')[2]}"
    command = [
        *("docker", "run", "--rm", "--interactive", "--privileged", "--network", "none", "--name", name),
        *("--volume", f"{folder}:{STORE}", "--entrypoint", "sh", node_image, "-c", WHILE_READING),
    ]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True
        ) as child,
    ):
        try:
            await_containerd(name, child, log)
            yield name
        finally:
            if child.stdin:
                child.stdin.close()
            child.wait()
        if child.returncode:
            raise BuildError(f"containerd did not end cleanly (exit {child.returncode}):\n{read(log)}")


def await_containerd(container: str, child: subprocess.Popen[str], log: IO[str]) -> None:
    """Wait until the container's containerd answers. Raises BuildError with its log."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            ctr(container, "version")
        except BuildError:
            time.sleep(0.3)
        else:
            return
    raise BuildError(f"containerd did not answer within {START_S:.0f} s:\n{read(log)}")


def read(log: IO[str]) -> str:
    """The end of a log."""
    log.seek(0)
    return tail(log.read())


def ctr(container: str, *arguments: str) -> str:
    """Run containerd's client in the container. Raises BuildError."""
    return docker("exec", container, "ctr", "-n", "k8s.io", *arguments, what=f"containerd: {' '.join(arguments[:2])}")


def check(container: str, images: Sequence[Image]) -> None:
    """Raises BuildError unless containerd has every image, complete and unpacked."""
    said = ctr(container, "images", "check")
    whole = {line.split()[0] for line in said.splitlines() if " complete " in line and line.rstrip().endswith("true")}
    missing = sorted({image.name for image in images} - whole)
    if missing:
        raise BuildError(f"containerd did not take the images {', '.join(missing)}:\n{said}")


def link(source: Path, target: Path) -> None:
    """Fill the existing folder `target` with hard links to the files of `source`, and with copies of the databases."""
    run(["cp", "--archive", "--link", f"{source}/.", target], what=f"linking {source} to {target}")
    for database in target.glob("*/*.db"):
        database.unlink()
        shutil.copy2(source / database.relative_to(target), database)


def stores(cluster: str) -> Path:
    """The folder of a cluster's stores."""
    return cache.root() / "nodes" / cluster


def node_stores(seed: Path, cluster: str, nodes: int) -> list[Path]:
    """A store of its own for each node of a new cluster, to be mounted at /var/lib/containerd. Raises BuildError."""
    remove_stores(cluster)
    made = [stores(cluster) / str(number) for number in range(nodes)]
    with step(f"linking the images for {nodes} nodes"):
        for store in made:
            store.mkdir(parents=True)
            link(seed, store)
    return made


def remove_stores(cluster: str) -> None:
    """Remove a cluster's stores, if there are any; only when none of its nodes runs any more."""
    if stores(cluster).exists():
        shutil.rmtree(stores(cluster))
