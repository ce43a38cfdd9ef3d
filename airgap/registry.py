"""Upstream's images by pinned tag, pulled by the engine. The clusters get them with `kind load`."""

from collections.abc import Iterable

from airgap.cache import BuildError
from airgap.docker import docker, pull
from airgap.programs import KUBERNETES_VERSION, PAUSE_VERSION

NODE_IMAGE = f"kindest/node:{KUBERNETES_VERSION}"
PROBE_IMAGE = f"registry.k8s.io/pause:{PAUSE_VERSION}"  # 0.3 MB: the least that shows whether images can be pulled
PROBE_S = 8.0


def refusal() -> str | None:
    """Why the engine can't pull images, in one line; None if it can. Asks once, for at most 8 s."""
    try:
        pull(PROBE_IMAGE, timeout_s=PROBE_S)
    except BuildError as error:
        return str(error).splitlines()[-1].strip()
    return None


def ensure(names: Iterable[str]) -> tuple[str, ...]:
    """Pull the images that the engine lacks. Raises BuildError that names the image and the engine's reason."""
    names = tuple(dict.fromkeys(names))
    for name in (NODE_IMAGE, *names):
        if not docker("image", "ls", "--quiet", name, what="asking the engine for its images"):
            pull(name)
    return names
