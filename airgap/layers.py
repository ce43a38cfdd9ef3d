"""Image layers and images, written without an engine: tar files whose bytes depend on their contents alone."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import IO

from airgap import cache


@dataclass(frozen=True)
class Layer:
    """One layer: its tar file and that file's SHA-256 in hex."""

    tar: Path
    digest: str


@dataclass(frozen=True)
class Image:
    """An image that is ready to be imported: full name with tag, layers bottom up, and how it is run."""

    name: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    user: str = ""
    env: Mapping[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}
    )
    options: Mapping[str, object] = field(default_factory=dict)

    def config(self) -> bytes:
        """The image's configuration; its SHA-256 is the image's id."""
        run = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command) or None,
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            **self.options,
        }
        layers = [f"sha256:{layer.digest}" for layer in self.layers]
        return json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": run,
                "rootfs": {"type": "layers", "diff_ids": layers},
                "history": [{"created_by": layer.tar.parent.name} for layer in self.layers],
            }
        ).encode()

    def id(self) -> str:
        """The image's id, 64 hex digits."""
        return hashlib.sha256(self.config()).hexdigest()


def layer(
    name: str, recipe: Mapping[str, object], fill: Callable[[Path], None], expect_s: float | None = None
) -> Layer:
    """The layer of what `fill(folder)` puts into an empty folder; the cached one if the recipe is known."""

    def build(folder: Path) -> None:
        tree = folder / "tree"
        tree.mkdir()
        fill(tree)
        write_tar(tree, folder / "layer.tar")
        rmtree(tree)
        with (folder / "layer.tar").open("rb") as tar:
            (folder / "sha256").write_text(hashlib.file_digest(tar, "sha256").hexdigest())

    folder = cache.artefact(f"layer-{name}", recipe, build, expect_s)
    return Layer(folder / "layer.tar", (folder / "sha256").read_text())


def write_tar(tree: Path, target: Path) -> None:
    """All of `tree` in sorted order, owners by number, times zero."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime, entry.uname, entry.gname = 0, "", ""
        return entry

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.iterdir()):
            tar.add(path, path.name, filter=plain)


def write_archive(images: Iterable[Image], out: IO[bytes]) -> None:
    """A docker archive (`docker save`) of the images as a stream, each layer once."""
    images = list(images)
    layers = {layer.digest: layer for image in images for layer in image.layers}
    manifest = [
        {
            "Config": f"{image.id()}.json",
            "RepoTags": [image.name],
            "Layers": [f"{layer.digest}.tar" for layer in image.layers],
        }
        for image in images
    ]
    with tarfile.open(fileobj=out, mode="w|") as archive:
        for digest, layer in layers.items():
            with layer.tar.open("rb") as tar:
                entry = tarfile.TarInfo(f"{digest}.tar")
                entry.size = layer.tar.stat().st_size
                archive.addfile(entry, tar)
        for image in images:
            add_bytes(archive, f"{image.id()}.json", image.config())
        add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file that exists only in memory."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
