"""TorchServe's image and the archive in it, made only where that back end is asked for.

torch lives in the image alone: the model is trained, packed and asked in the image's own files.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from airgap import cache, debian, host
from airgap.layers import Image, Layer, layer
from airgap.pypi import install
from airgap.run import run
from airgap.serving import PYTHON, SITE, USER, compile_all
from models import torchserve
from models.golden import MIN_ACCURACY, TOLERANCE, Answers, Golden

NAME = "docker.io/shakedown/torchserve:1"
# torch is Debian's, which is built for the CPU only
PACKAGES = (
    *("openjdk-17-jre-headless", "python3", "python3-numpy", "python3-packaging", "python3-psutil"),
    *("python3-torch", "python3-yaml"),
)
WHEELS = """\
torchserve==0.12.0 --hash=sha256:db127160102d29f390964f758b7ecc5039d3d278fafc85bf9994c273b3ef6954
torch-model-archiver==0.12.0 --hash=sha256:baaf66065396c3512030b3b2c57cce333edab9fffe9e528352cb4cc291645a78
"""
# in place of the scripts that pip writes, which name the Python that installed them
LAUNCHER = "#!/usr/bin/python3\nfrom ts.model_server import start\n\nstart()\n"
# torch wants /dev/urandom, which an image has from its engine
ENTER = 'root=$1; shift; mount --bind /dev "$root/dev" && mount -t proc proc "$root/proc" && exec chroot "$root" "$@"'
PLACE = "training"  # a folder of its own among the files of the image, gone with them
PROGRAMS = Path(torchserve.__file__).parent
DATA = PROGRAMS.parent / "data.py"
SEED = 20240607
VERSION = 1
ARCHIVE = "digits.mar"
GOLDEN_EACH = 6  # golden images of each digit
MIN_LABEL_MARGIN = 0.05  # a golden label must not hang on rounding
Floats = NDArray[np.float32]


def image(name: str = NAME) -> Image:
    """TorchServe with the archive in /models, started by `torchserve`. Raises BuildError."""
    path = "/usr/local/bin:/usr/bin:/bin"
    layers = (base_layer(), packages_layer(), archive_layer())
    return Image(name, layers, ("/usr/local/bin/torchserve",), user=USER, env={"PATH": path, "PYTHONUNBUFFERED": "1"})


def base_layer() -> Layer:
    """Debian with Java and torch."""
    return debian.base("debian-torch", PACKAGES, 300)


def packages_layer() -> Layer:
    """TorchServe and the archiver, byte-compiled, and the program that starts it."""

    def fill(tree: Path) -> None:
        site = tree / SITE
        site.mkdir(parents=True)
        install(WHEELS, site, PYTHON)
        shutil.rmtree(site / "bin")
        compile_all(tree, SITE)
        launcher = tree / "usr" / "local" / "bin" / "torchserve"
        launcher.parent.mkdir(parents=True)
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)

    return layer("torchserve", {"wheels": WHEELS, "launcher": LAUNCHER, "python": PYTHON}, fill, 30)


def archive_layer() -> Layer:
    """The archive where TorchServe looks for it."""
    made = bundle()

    def fill(tree: Path) -> None:
        (tree / "models").mkdir()
        shutil.copy2(made / ARCHIVE, tree / "models" / ARCHIVE)

    return layer("torchserve-models", {"models": made.name}, fill)


def bundle() -> Path:
    """A folder with digits.mar, golden.npz and golden.json, trained now unless the cache holds it. Raises BuildError.

    The golden answers are torch's own, in process; models.golden.Golden.load(folder) reads them.
    """
    recipe = {
        "programs": cache.files_digest(PROGRAMS, DATA),
        "code": cache.files_digest(Path(__file__)),
        "image": [base_layer().digest, packages_layer().digest],
    }
    return cache.artefact("models-torchserve", recipe, train, 90)


def train(folder: Path) -> None:
    """Fill a folder with the bundle; raises BuildError where the model is not good enough."""
    from models import data  # noqa: PLC0415 - scikit-learn takes a second to import, which only a build needs

    split, held_out = data.load(SEED)
    with unpacked() as root:
        work = root / PLACE
        shutil.copytree(PROGRAMS, work, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
        np.savez(work / "data.npz", images=split.images, labels=split.labels, held_out=held_out.images)
        inside(root, f"/{PLACE}/train.py", f"/{PLACE}", str(SEED), what="training the PyTorch model")
        inside(root, "-m", "model_archiver.model_packaging", *packing(), what="packing the archive")
        shutil.copy2(work / ARCHIVE, folder / ARCHIVE)
        with np.load(work / "answers.npz") as answers:
            golden_of(held_out.images, held_out.labels, **answers).save(folder)


def packing() -> list[str]:
    """The archiver's options."""
    named = {"model-name": "digits", "version": f"{VERSION}.0", "export-path": f"/{PLACE}"}
    files = {"model-file": "model.py", "serialized-file": "weights.pt", "handler": "handler.py"}
    options = {**named, **{option: f"/{PLACE}/{file}" for option, file in files.items()}}
    return [f"--{option}={value}" for option, value in options.items()]


def inside(root: Path, *arguments: str, what: str) -> None:
    """Run the image's Python in its own files; its devices and processes go away with it. Raises BuildError."""
    namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    run([*namespaces, "sh", "-c", ENTER, "sh", root, "python3", *arguments], what=what)


@contextmanager
def unpacked() -> Iterator[Path]:
    """The image's files below the archive, to be run in."""
    host.require_root("running programs in TorchServe's image")
    host.require_programs({"unshare": "util-linux"})
    with tempfile.TemporaryDirectory(dir=cache.root(), prefix=".models-torchserve-part-root-") as name:
        for each in (base_layer(), packages_layer()):
            run(["tar", "-xf", each.tar, "-C", name], what=f"unpacking {each.tar.parent.name}")
        yield Path(name)


def golden_of(images: Floats, labels: NDArray[np.int64], scores: Floats, together: Floats, alone: Floats) -> Golden:
    """The golden data out of what torch answered to the held-out images, in one batch and to each alone.

    Raises BuildError where that is not good enough.
    """
    guessed = together.argmax(axis=1)
    accuracy, spread = float((guessed == labels).mean()), float(np.abs(together - alone).max())
    if accuracy < MIN_ACCURACY:
        raise cache.BuildError(f"the PyTorch model is right in {accuracy:.4f} of all cases, wanted {MIN_ACCURACY}")
    if spread > TOLERANCE / 10:
        raise cache.BuildError(f"batch and single answers differ by {spread}; TOLERANCE {TOLERANCE} is too tight")
    ordered = np.sort(together, axis=1)
    sure = (ordered[:, -1] - ordered[:, -2] > MIN_LABEL_MARGIN) & (guessed == labels)
    rows = np.stack([np.flatnonzero(sure & (guessed == digit))[:GOLDEN_EACH] for digit in range(10)], axis=1).ravel()
    known = Answers(together[rows], scores[rows], guessed[rows], accuracy)
    return Golden(images[rows], {VERSION: known}, images, labels)
