"""The few things that are asked of the Docker engine."""

import subprocess
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from airgap.cache import BuildError
from airgap.layers import Image, write_archive
from airgap.progress import step
from airgap.run import end_group, run, tail


def docker(*arguments: str | Path, what: str) -> str:
    """Run the docker client and return what it prints. Raises BuildError."""
    return run(["docker", *arguments], what=what).strip()


def has_image(name: str) -> bool:
    """Whether the engine has an image of this name. Raises BuildError when the engine doesn't answer."""
    try:
        docker("image", "inspect", name, what="asking the engine for an image")
    except BuildError as error:
        if "No such image" not in str(error):
            raise
        return False
    return True


def load_image(image: Image) -> None:
    """Give the engine the image, unless it has it."""
    if has_image(image.name):
        return
    with step(f"loading {image.name} into the engine", 20):
        feed(["docker", "load", "--quiet"], [image], what=f"loading {image.name} into the engine")


def feed(command: Sequence[str], images: Iterable[Image], *, what: str) -> None:
    """Write an archive of the images to the command's standard input. Raises BuildError."""
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.extend(child.stdout or []))
    reader.start()
    try:
        write_to(child.stdin, images)
        child.wait()
    finally:
        end_group(child)
        reader.join()
    if child.returncode:
        raise BuildError(f"{what} failed (exit {child.returncode}):\n{tail(b''.join(said).decode(errors='replace'))}")


def write_to(stdin: IO[bytes] | None, images: Iterable[Image]) -> None:
    """Write the archive; a reader that went away says why on its own output."""
    if stdin is None:
        raise TypeError("the child has no standard input")
    try:
        with stdin:
            write_archive(images, stdin)
    except BrokenPipeError:
        return


def pull(name: str, timeout_s: float | None = None) -> None:
    """Let the engine pull an image. Raises BuildError with the engine's reason."""
    run(["docker", "pull", "--quiet", name], what=f"pulling {name}", timeout_s=timeout_s)
