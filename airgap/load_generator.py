"""The image that load workers run, made only where they are asked for.

It holds locust, the locustfiles and the modules of the project that those import: messages of TensorFlow Serving come
without TensorFlow, as those files of it that shakedown/protos.py imports.
"""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

from airgap import cache
from airgap.basics import debian_layer
from airgap.layers import Image, Layer, layer
from airgap.pypi import install
from airgap.serving import HOME, PROJECT, PYTHON, SITE, USER, compile_all, requirements_of

NAME = "docker.io/shakedown/load-generator:1"
REQUIREMENTS = PROJECT / "requirements" / "load.txt"
SOURCES = (
    "locustfiles",
    *(f"shakedown/{name}.py" for name in ("__init__", "generators", "ledger", "oracle", "orders", "protos", "shapes")),
    *("shakedown/verdict.py", "shakedown/backends"),
)
MESSAGES = ("tensorflow", "tensorflow_serving")
UNUSED = ("bin", "locust/webui", "pytest", "_pytest")  # pages for people, and what locust's own tests run on


def image(name: str = NAME) -> Image:
    """Python with the generator's modules on its path; who runs it says what. Raises BuildError."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": f"/{HOME}", "HOME": "/tmp"}  # noqa: S108 - the pod's own
    return Image(name, (debian_layer(), packages_layer(), sources_layer()), (), ("sleep", "infinity"), USER, env)


def packages_layer() -> Layer:
    """Locust and what else generators import, byte-compiled."""

    def fill(tree: Path) -> None:
        site = tree / SITE
        site.mkdir(parents=True)
        install(requirements_of(REQUIREMENTS.read_text()), site, PYTHON)
        for unused in UNUSED:
            shutil.rmtree(site / unused)
        compile_all(tree, SITE)

    recipe = {"requirements": cache.files_digest(REQUIREMENTS), "unused": UNUSED, "debian": debian_layer().digest}
    return layer("load-packages", recipe, fill, 30)


def sources_layer() -> Layer:
    """The locustfiles and what they import of the project, and the messages, byte-compiled."""
    sources, messages = dict(sources_of()), dict(messages_of())

    def fill(tree: Path) -> None:
        for path, file in {**sources, **messages}.items():
            target = tree / HOME / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        compile_all(tree, HOME)

    files = {str(path): cache.files_digest(file) for path, file in {**sources, **messages}.items()}
    return layer("load-generator", {"files": files, "debian": debian_layer().digest}, fill)


def sources_of() -> Iterator[tuple[Path, Path]]:
    """The project's own files: {path in the image: file}."""
    for name in SOURCES:
        place = PROJECT / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            yield file.relative_to(PROJECT), file


def messages_of() -> Iterator[tuple[Path, Path]]:
    """Every generated message of the packages that this environment has: {path in the image: file}."""
    for name in MESSAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise cache.BuildError(f"{name} is missing: install requirements/main.txt")
        root = Path(spec.submodule_search_locations[0])
        for file in sorted(root.rglob("*_pb2*.py")):
            yield file.relative_to(root.parent), file
