"""What the cache holds, and how to be rid of it."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from airgap import cache, engine, node, seed
from airgap.docker import docker
from airgap.progress import say
from airgap.run import run

# the label that kind gives to the containers of a cluster
CLUSTER_LABEL = "io.x-k8s.kind.cluster"


def sizes() -> dict[Path, int]:
    """Bytes on disk of each artefact, and of what else the cache keeps; what is hard-linked counts once."""
    seen: set[int] = set()
    others = [path for path in (engine.folder(), cache.root() / "debs") if path.exists()]
    paths = [*(path for found in cache.artefacts().values() for path in found), *others]
    return {path: size_of(path, seen) for path in paths}


def size_of(path: Path, seen: set[int]) -> int:
    """Bytes on disk of the files below `path` whose inodes are not among those seen, to which they are added."""
    total = 0
    for file in path.rglob("*"):
        found = file.lstat()
        if found.st_ino not in seen:
            seen.add(found.st_ino)
            total += found.st_blocks * 512
    return total


def clean(*, everything: bool) -> int:
    """Delete the clusters that no run uses, then artefacts and node images but those used last; or simply everything.

    Raises BuildError.
    """
    if engine.answering():
        list(delete_unused(known_clusters()))
        delete_node_images(everything=everything)
    if everything:
        engine.stop()
        unmount_below(cache.root())
        say(f"removing {cache.root()}")
        shutil.rmtree(cache.root())
        return 0
    for paths in cache.artefacts().values():
        for path in paths[1:]:
            say(f"removing {path.name}")
            shutil.rmtree(path)
    return 0


def clean_cluster(name: str) -> int:
    """Delete one kept cluster. Raises BuildError where there is none of that name, or a run uses it."""
    known = known_clusters()
    if name not in known:
        raise cache.BuildError(f"there is no cluster {name!r}; there is {', '.join(known) or 'none'}")
    if name not in list(delete_unused([name])):
        raise cache.BuildError(f"cluster {name} is in use by a run; end that first")
    return 0


def unmount_below(folder: Path) -> None:
    """Undo what a killed engine left mounted, so that removing the folder removes nothing else. Raises BuildError."""
    mounted = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for target in reversed([path for path in mounted if path.is_relative_to(folder)]):
        run(["umount", target], what=f"unmounting {target}")


def known_clusters() -> list[str]:
    """The clusters of this cache, whole or not."""
    return sorted({path.name for folder in ("clusters", "nodes") for path in (cache.root() / folder).glob("[!.]*")})


def delete_unused(names: Iterable[str]) -> Iterator[str]:
    """Delete those that no living run holds, and name each; the cluster library locks those in use."""
    for name in names:
        (cache.root() / "clusters").mkdir(exist_ok=True)
        lock = FileLock(cache.root() / "clusters" / f".{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            say(f"cluster {name} is in use by a run, it stays")
            continue
        try:
            delete_cluster(name)
        finally:
            lock.release()
        say(f"cluster {name} deleted")
        yield name


def delete_cluster(name: str) -> None:
    """Delete a cluster's containers, stores and folder. Raises BuildError."""
    wanted = ("ps", "--all", "--quiet", "--filter", f"label={CLUSTER_LABEL}={name}")
    containers = docker(*wanted, what=f"looking for the nodes of cluster {name}").split()
    if containers:
        docker("rm", "--force", "--volumes", *containers, what=f"deleting the nodes of cluster {name}")
    seed.remove_stores(name)
    shutil.rmtree(cache.root() / "clusters" / name, ignore_errors=True)


def delete_node_images(*, everything: bool) -> None:
    """Delete this project's node images from the engine, but the newest, and but those that containers use."""
    listing = ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", node.REPOSITORY)
    names = docker(*listing, what="asking the engine for its images").split()
    current = None if everything else current_node_image()
    for name in names:
        if name != current and not docker("ps", "-aq", "--filter", f"ancestor={name}", what="asking for containers"):
            docker("image", "rm", name, what=f"removing the image {name}")
            say(f"image {name} removed")


def current_node_image() -> str | None:
    """The name of the node image that a run would use; None if it isn't built."""
    try:
        with cache.nothing_built():
            return node.build().name
    except cache.NotBuiltError:
        return None
