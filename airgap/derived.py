"""An image on top of one that a cluster's nodes have: only what is new is made and sent, not the gigabyte below it."""

import hashlib
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airgap.cache import BuildError
from airgap.docker import docker, feed
from airgap.layers import Image, add_bytes, write_tar
from airgap.progress import step

CTR = ("ctr", "--namespace=k8s.io")
ARCHIVE = "/derived.tar"  # on a node, for as long as it is read
LAYER = "application/vnd.oci.image.layer.v1.tar"


def nodes(cluster: str, role: str = "") -> list[str]:
    """The containers of a kind cluster's nodes, or of those of one role. Raises BuildError where there are none."""
    roles = [f"--filter=label=io.x-k8s.kind.role={role}"] if role else []
    asked = ("ps", f"--filter=label=io.x-k8s.kind.cluster={cluster}", *roles, "--format={{.Names}}")
    found = sorted(docker(*asked, what="asking the engine for the nodes").split())
    if not found:
        raise BuildError(f"the engine runs no node of a kind cluster {cluster!r}")
    return found


def full(image: str) -> str:
    """An image's name with its registry, as containerd keeps it."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def build(cluster: str, base: str, image: str, tree: Path, archive: Path) -> None:
    """Write an archive (OCI layout) of an image that is `base`, as the nodes have it, and the files of `tree` on top.

    The base's own layers are named in it and not held. Raises BuildError where no node has the base.
    """
    if not tree.is_dir() or not any(tree.iterdir()):
        raise BuildError(f"{tree} holds nothing: the image would be its base under another name")
    node = nodes(cluster)[-1]
    manifest, config = parts_of(node, full(base))
    packed = archive.with_suffix(".layer")
    write_tar(tree, packed)
    layer = packed.read_bytes()
    packed.unlink()
    config["rootfs"]["diff_ids"].append(digest(layer))
    config.setdefault("history", []).append({"created_by": f"files of {tree.name}"})
    made = json.dumps(config).encode()
    manifest["layers"].append({"mediaType": LAYER, **described(layer)})
    manifest["config"] |= described(made)
    write_layout(full(image), json.dumps(manifest).encode(), (layer, made), archive)


def parts_of(node: str, image: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """An image's manifest and configuration as a node's containerd has them. Raises BuildError where it hasn't."""
    listed = ctr(node, "images", "list", f"name=={image}").splitlines()[1:]
    if not listed:
        raise BuildError(f"node {node} has no image {image}")
    manifest = json.loads(ctr(node, "content", "get", listed[0].split()[2]))
    if "manifests" in manifest:  # an index; a node has what its own platform needs
        manifest = json.loads(ctr(node, "content", "get", manifest["manifests"][0]["digest"]))
    return manifest, json.loads(ctr(node, "content", "get", manifest["config"]["digest"]))


def write_layout(image: str, manifest: bytes, blobs: tuple[bytes, ...], archive: Path) -> None:
    """An OCI layout of one image."""
    named = {"io.containerd.image.name": image}
    entry = {"mediaType": json.loads(manifest)["mediaType"], "annotations": named, **described(manifest)}
    with tarfile.open(archive, "w") as tar:
        add_bytes(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        for blob in (*blobs, manifest):
            add_bytes(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        add_bytes(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())


def described(blob: bytes) -> dict[str, Any]:
    """What a descriptor says of a blob."""
    return {"digest": digest(blob), "size": len(blob)}


def digest(blob: bytes) -> str:
    """A blob's digest as images write it."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def deliver(cluster: str, archive: Path) -> None:
    """Give an archive's image to every node of a kind cluster. Raises BuildError where one doesn't take it whole."""

    def give(node: str) -> None:
        docker("cp", archive, f"{node}:{ARCHIVE}", what=f"copying {archive} to {node}")
        try:
            ctr(node, "images", "import", ARCHIVE)
        finally:
            docker("exec", node, "rm", ARCHIVE, what=f"tidying {node}")

    with step(f"delivering {archive.name} to the nodes of {cluster}", 2), ThreadPoolExecutor() as pool:
        list(pool.map(give, nodes(cluster)))


def provide(cluster: str, image: Image, role: str = "worker") -> None:
    """Give a whole image to each node of a role in a kind cluster that hasn't got it. Raises BuildError."""
    lacking = [node for node in nodes(cluster, role) if not has(node, image)]
    for node in lacking:
        importing = ["docker", "exec", "--interactive", node, *CTR, "images", "import", "-"]
        with step(f"giving {image.name} to {node}", 30):
            feed(importing, [image], what=f"importing {image.name} into {node}")


def has(node: str, image: Image) -> bool:
    """Whether a node has this very image, not only one of its name."""
    try:
        manifest, _ = parts_of(node, image.name)
    except BuildError:
        return False
    return bool(manifest["config"]["digest"] == f"sha256:{image.id()}")


def withdraw(cluster: str, name: str) -> None:
    """Take every image of a name, whatever its tag, away from all nodes of a kind cluster again."""
    for node in nodes(cluster):
        listed = ctr(node, "images", "list", "--quiet").splitlines()
        if found := [image for image in listed if image.startswith(f"{full(name)}:")]:
            ctr(node, "images", "remove", "--sync", *found)


def ctr(node: str, *arguments: str) -> str:
    """Run containerd's client on a node. Raises BuildError."""
    return docker("exec", node, *CTR, *arguments, what=f"containerd of {node}: {' '.join(arguments[:2])}")
