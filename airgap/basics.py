"""The layers that several images share."""

import shutil
from pathlib import Path

from airgap import debian, golang
from airgap.cache import BuildError
from airgap.golang import Program
from airgap.layers import Layer, layer
from airgap.run import run

BUSYBOX_VERSION = "1.35"  # Debian bookworm's


def binary_layer(program: Program, binary: str, path: str) -> Layer:
    """A layer with one program of a Go module at `path`, and an empty /tmp."""
    source = golang.build_program(program) / binary

    def fill(tree: Path) -> None:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, tree / path)
        (tree / "tmp").mkdir()
        (tree / "tmp").chmod(0o1777)

    return layer(Path(path).name, {"program": source.parent.name, "binary": binary, "path": path}, fill)


def debian_layer() -> Layer:
    """Debian with Python and the network's tools: the base of kube-proxy, the pod network and the model server."""
    return debian.base(
        "debian", ("ca-certificates", "conntrack", "iproute2", "iptables", "kmod", "nftables", "python3"), 100
    )


def busybox_layer() -> Layer:
    """Debian's busybox with the C library, whose name look-ups need its shared files; a link for each applet."""

    def fill(tree: Path) -> None:
        debian.unpack(tree, "libc6", "busybox")
        for path in ("usr", "etc"):  # documentation, character sets
            shutil.rmtree(tree / path)
        said = run(["chroot", tree, "/bin/busybox"], what="asking busybox for its version").split()[1]
        if not said.startswith(f"v{BUSYBOX_VERSION}."):
            raise BuildError(f"Debian's busybox is {said}, the catalogue says {BUSYBOX_VERSION}")
        applets = run(["chroot", tree, "/bin/busybox", "--list"], what="listing busybox's applets").split()
        for applet in set(applets) - {"busybox"}:
            (tree / "bin" / applet).symlink_to("busybox")
        (tree / "etc").mkdir()
        (tree / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        (tree / "tmp").mkdir()
        (tree / "tmp").chmod(0o1777)

    return layer("busybox", {"version": BUSYBOX_VERSION}, fill)
