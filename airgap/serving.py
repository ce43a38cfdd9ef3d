"""The images of the offline model server and of its models."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from airgap import cache, host
from airgap.basics import busybox_layer, debian_layer
from airgap.layers import Image, Layer, layer
from airgap.pypi import install
from airgap.run import run
from models.build import bundle

PROJECT = Path(__file__).parent.parent
REQUIREMENTS = PROJECT / "requirements" / "server.txt"
SOURCES = PROJECT / "model_server"
PYTHON = "3.11"  # Debian bookworm's
SITE = f"usr/local/lib/python{PYTHON}/dist-packages"
HOME = "opt/shakedown"
USER = "65532:65532"  # nobody in particular, as distroless images have it
# installed, but neither imported nor linked by a server; with their metadata
UNUSED_FOLDERS = (
    "clang",
    "setuptools",
    "pkg_resources",
    "wheel",
    "bin",
    "tensorflow/include",
    "tensorflow/xla_aot_runtime_src",
)
UNUSED_FILES = ("*.a", "*.h", "*.lib", "*.pyi")
# the libraries that hold most of the bytes that `strip` can remove: 1.05 GiB become 0.84 GiB in the first alone
STRIPPED = (
    "libtensorflow_cc.so.2",
    "libtensorflow_framework.so.2",
    "_pywrap_profiler_plugin.so",
    "stablehlo_extension.so",
)
LAUNCHER = '#!/bin/sh\nexec python3 -m model_server.main "$@"\n'


def model_server(name: str) -> Image:
    """The offline model server under the name and with the flags of the program that it stands in for."""
    return Image(
        name,
        (debian_layer(), packages_layer(), server_layer()),
        ("/usr/bin/tensorflow_model_server",),
        user=USER,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": f"/{HOME}", "PYTHONUNBUFFERED": "1"},
    )


def digits_models(name: str) -> Image:
    """The trained models at /bundle/digits, with a shell to copy them."""
    models = bundle()

    def fill(tree: Path) -> None:
        shutil.copytree(models / "digits", tree / "bundle" / "digits")

    image = layer("digits-models", {"models": models.name}, fill)
    return Image(name, (busybox_layer(), image), (), ("/bin/sh",), env={"PATH": "/bin"})


def packages_layer() -> Layer:
    """The packages that the server runs on, without what it doesn't use, and byte-compiled."""

    def fill(tree: Path) -> None:
        host.require_programs({"strip": "binutils"})
        site = tree / SITE
        site.mkdir(parents=True)
        install(requirements_of(REQUIREMENTS.read_text()), site, PYTHON)
        prune(site)
        compile_all(tree, SITE)

    recipe = {
        "requirements": cache.files_digest(REQUIREMENTS),
        "unused": [UNUSED_FOLDERS, UNUSED_FILES],
        "stripped": STRIPPED,
        "debian": debian_layer().digest,
    }
    return layer("server-packages", recipe, fill, 240)


def server_layer() -> Layer:
    """The server's own code, byte-compiled, and the program that starts it."""

    def fill(tree: Path) -> None:
        shutil.copytree(SOURCES, tree / HOME / SOURCES.name, ignore=shutil.ignore_patterns("__pycache__"))
        compile_all(tree, HOME)
        launcher = tree / "usr" / "bin" / "tensorflow_model_server"
        launcher.parent.mkdir(parents=True)
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)

    recipe = {"sources": cache.files_digest(SOURCES), "launcher": LAUNCHER, "debian": debian_layer().digest}
    return layer("model-server", recipe, fill)


def requirements_of(text: str) -> str:
    """The pinned requirements that hold for the image's Python, whatever Python runs this, without their markers."""
    return "".join(kept for block in blocks(text) for kept in [without_marker(block)] if kept)


def blocks(text: str) -> Iterator[str]:
    """Each requirement with its hashes, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for block in lines.replace("\\\n", " ").splitlines():
        if block.strip():
            yield block


def without_marker(block: str) -> str:
    """The requirement as one line without its marker; nothing if the marker doesn't hold for the image's Python."""
    pinned, *hashes = block.split(" --hash=")
    requirement = Requirement(pinned.strip())
    environment = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.2"}
    if requirement.marker and not requirement.marker.evaluate(environment):
        return ""
    requirement.marker = None
    return " ".join([str(requirement), *(f"--hash={digest.strip()}" for digest in hashes)]) + "\n"


def prune(site: Path) -> None:
    """Remove what a server doesn't use, and symbols that only debuggers read."""
    for folder in UNUSED_FOLDERS:
        shutil.rmtree(site / folder, ignore_errors=True)
    for pattern in UNUSED_FILES:
        for file in site.rglob(pattern):
            file.unlink()
    for name in STRIPPED:
        for file in site.rglob(name):
            run(["strip", "--strip-unneeded", file], what=f"stripping {name}")


def compile_all(tree: Path, folder: str) -> None:
    """Byte-compile `folder` with the Python of the image below; nothing relies on file times, which layers lose."""
    with tempfile.TemporaryDirectory(dir=tree.parent) as temporary:
        root = Path(temporary)
        run(["tar", "-xf", debian_layer().tar, "-C", root], what="unpacking Debian")
        (root / folder).parent.mkdir(parents=True, exist_ok=True)
        move_contents(tree / folder, root / folder)
        options = ("-q", "--invalidation-mode", "unchecked-hash")
        run(["chroot", root, "python3", "-m", "compileall", *options, f"/{folder}"], what=f"byte-compiling {folder}")
        move_contents(root / folder, tree / folder)


def move_contents(source: Path, target: Path) -> None:
    """Rename a folder over one that is empty or absent."""
    if target.exists():
        target.rmdir()
    source.rename(target)
