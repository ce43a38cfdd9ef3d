"""Upstream's images by pinned tag, pulled by the engine. The clusters get them with `kind load`."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from airgap import cache
from airgap.basics import binary_layer
from airgap.cache import BuildError
from airgap.docker import docker, has_image, load_image, pull
from airgap.layers import Image
from airgap.programs import ALERT_SINK as ALERT_SINK_PROGRAM
from airgap.programs import PAUSE_VERSION
from models.build import bundle

NODE_IMAGE = "kindest/node:v1.34.3"  # the newest 1.34 that kind's project has published
PROBE_IMAGE = f"registry.k8s.io/pause:{PAUSE_VERSION}"  # 0.3 MB: the least that shows whether images can be pulled
PROBE_S = 8.0
TOOLS = "docker.io/library/busybox:1.36.1"
MODELS = "docker.io/shakedown/digits-models:1"
ALERT_SINK = "docker.io/shakedown/alert-sink:1"
# what stands in for these offline; the trained models and the webhook receiver are nobody's but this project's
UPSTREAM = {
    "docker.io/shakedown/model-server:1": "docker.io/tensorflow/serving:2.19.1",
    "docker.io/shakedown/busybox:1.35": TOOLS,
}


def refusal() -> str | None:
    """Why the engine can't pull images, in one line; None if it can. Asks once, for at most 8 s."""
    try:
        pull(PROBE_IMAGE, timeout_s=PROBE_S)
    except BuildError as error:
        return str(error).splitlines()[-1].strip()
    return None


def ensure(names: Iterable[str]) -> tuple[str, ...]:
    """The images that the engine has afterwards in place of these. Raises BuildError with the engine's reason."""
    wanted = tuple(dict.fromkeys(UPSTREAM.get(name, name) for name in names))
    made = {MODELS: pack_models, ALERT_SINK: load_alert_sink}
    for name in (NODE_IMAGE, *wanted):
        if not has_image(name):
            made[name]() if name in made else pull(name)
    return wanted


def load_alert_sink() -> None:
    """Give the engine the webhook receiver, a static program of this project's own."""
    load_image(Image(ALERT_SINK, (binary_layer(ALERT_SINK_PROGRAM, "alert-sink", "alert-sink"),), ("/alert-sink",)))


def pack_models() -> None:
    """Make the image of the trained models: upstream's busybox, and the bundle at /bundle/digits."""
    if not has_image(TOOLS):
        pull(TOOLS)
    container = f"shakedown-models-{os.getpid()}-{cache.key_of({'models': bundle().name})}"
    docker("create", "--name", container, TOOLS, what="making the image of the models")
    try:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(bundle() / "digits", Path(folder) / "bundle" / "digits")
            docker("cp", f"{folder}/.", f"{container}:/", what="copying the models")
        docker("commit", container, MODELS, what="making the image of the models")
    finally:
        docker("rm", "--force", container, what="removing the container of the models")
