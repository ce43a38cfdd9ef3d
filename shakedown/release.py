"""A release that leaves either the new image, verified, or what was there before: never something in between.

Build, deliver, set the image, wait for the roll-out, verify; where one of the last three fails, or the pipeline is
cancelled in the middle of them, the pods' template of before is put back and waited for.
"""

import json
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus
from typing import Any, TypeVar

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from shakedown.attended import undisturbed
from shakedown.cluster import Cluster
from shakedown.cluster.access import CommandFailed
from shakedown.progress import plain
from shakedown.rollout import lateness
from shakedown.serving import selector_of
from shakedown.verdict import Failed, Inconclusive
from shakedown.wait import NotYet, eventually
from shakedown.workloads import troubles

PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)  # refusals of this moment
T = TypeVar("T")
Tell = Callable[[str, str], None]  # a step, and what became of it


class Outcome(IntEnum):
    """What a release came to, which is its exit code."""

    RELEASED = 0
    UNDONE = 1  # what was there before serves again
    UNCHANGED = 3  # nothing was changed in the cluster
    NOT_UNDONE = 4  # it failed, and so did its undoing: somebody must look at once


@dataclass(frozen=True)
class Order:
    """What is released, and how.

    `build`, `deliver` and `verify` are commands, split as a shell splits words but run without one; `{image}` in them
    is the image's name, and an empty one is left out. `within` is how long the roll-out may take, `patience` how long
    each command may, and the undoing, which is given up late; both in seconds.
    """

    image: str
    namespace: str
    deployment: str
    container: str
    build: str = ""
    deliver: str = ""
    verify: str = ""
    within: float = 600.0
    patience: float = 900.0

    @property
    def target(self) -> str:
        """The Deployment."""
        return f"{self.namespace}/{self.deployment}"

    @property
    def path(self) -> str:
        """Where the API server keeps it."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.deployment}"


@dataclass(frozen=True)
class Before:
    """What is there before the release: the pods' template, the container's place in it, and its image."""

    template: dict[str, Any]
    index: int

    @property
    def image(self) -> str:
        """What the container runs."""
        return str(self.template["spec"]["containers"][self.index]["image"])

    @property
    def image_path(self) -> str:
        """Where a Deployment has it, as a JSON pointer."""
        return f"/spec/template/spec/containers/{self.index}/image"


@dataclass
class Ours:
    """The pods' template as the API server has it once the image is set; None while that isn't known."""

    template: dict[str, Any] | None = None

    def require(self, cluster: Cluster, order: Order) -> None:
        """Raise Failed where the Deployment has another template by now, whoever gave it that."""
        now = cluster.get(order.path)["spec"]["template"]
        if now != self.template:
            images = ", ".join(f"{each['name']} {each.get('image', '')}" for each in now["spec"]["containers"])
            raise Failed(f"{order.target} was changed by somebody else meanwhile, and has now: {images}")


class Refused(Exception):
    """The release was not begun; the message says why."""


def release(cluster: Cluster, order: Order, tell: Tell) -> Outcome:
    """Release an image. Raises nothing: whatever goes wrong is told, and comes out as an outcome."""
    try:
        before = prepared(cluster, order, tell)
    except BaseException as error:  # noqa: BLE001 - a signal too: nothing has been changed, and that is to be said
        tell("FAILED", told(error))
        tell("unchanged", f"nothing was changed in {order.target}")
        return Outcome.UNCHANGED
    ours = Ours()
    try:
        roll_out(cluster, order, before, ours, tell)
        run(order.verify, order, "verified", tell)
        eventually(lambda: reached(lambda: ours.require(cluster, order)), within=order.patience, awaited="a last look")
    except BaseException as error:  # noqa: BLE001 - whatever ended it, users get back what they had
        with undisturbed():
            tell("FAILED", told(error))
            return undo(cluster, order, before, ours, tell)
    tell("released", order.image)
    return Outcome.RELEASED


def prepared(cluster: Cluster, order: Order, tell: Tell) -> Before:
    """Look before the leap, then build and deliver. Raises Refused, Failed, or what the API server's client raises."""
    require_own_name(order.image)
    before_of(cluster, order)
    run(order.build, order, "built", tell)
    run(order.deliver, order, "delivered", tell)
    return before_of(cluster, order)  # a build takes minutes, in which another release may have come


def require_own_name(image: str) -> None:
    """Refuse a name that may mean another image tomorrow: what it meant yesterday could not be put back."""
    if not names_version(image):
        raise Refused(f"image {image} names no version: give it a tag of its own, such as the commit")


def names_version(image: str) -> bool:
    """Whether an image's name has a digest, or a tag other than latest; a registry's port is none."""
    name, at, _ = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return bool(at) or tag not in {"", "latest"}


def before_of(cluster: Cluster, order: Order) -> Before:
    """What is there now. Raises Refused where it can't be gone back to, or where the release would change nothing."""
    found = cluster.get(order.path)
    template = found["spec"]["template"]
    names = [each["name"] for each in template["spec"]["containers"]]
    if order.container not in names:
        raise Refused(f"Deployment {order.target} has no container {order.container}; it has {', '.join(names)}")
    before = Before(template, names.index(order.container))
    if before.image == order.image:
        raise Refused(f"{order.target} has image {order.image} already: nothing would roll out; use another tag")
    if late := lateness(cluster, order.namespace, order.deployment):
        raise Refused(f"{late}; there is nothing whole to go back to, so wait for it, or mend it first")
    return before


def run(command: str, order: Order, step: str, tell: Tell) -> None:
    """Run one command of the order; its output goes where the pipeline's goes. Raises Failed unless it exits 0."""
    argv = [word.replace("{image}", order.image) for word in shlex.split(command)]
    if not argv:
        return
    started = time.monotonic()
    try:
        code = subprocess.run(argv, timeout=order.patience, check=False).returncode
    except OSError as error:
        raise Failed(f"{shlex.join(argv)}: can't be run: {error}") from error
    except subprocess.TimeoutExpired as hung:
        raise Failed(f"{shlex.join(argv)}: had not ended after {order.patience:g} s") from hung
    if code:
        raise Failed(f"{shlex.join(argv)}: exit code {code}")
    tell(step, f"{shlex.join(argv)} ({time.monotonic() - started:.1f} s)")


def roll_out(cluster: Cluster, order: Order, before: Before, ours: Ours, tell: Tell) -> None:
    """Set the image and wait until no pod of before is left. Raises Failed with what is in the way."""
    started = time.monotonic()
    patch: list[dict[str, Any]] = [
        {"op": "test", "path": "/spec/template", "value": before.template},
        {"op": "replace", "path": before.image_path, "value": order.image},
    ]
    ours.template = patched(cluster, order, patch)["spec"]["template"]
    tell("set", f"{order.target}, container {order.container}: {before.image} -> {order.image}")

    def out() -> None:
        reached(lambda: ours.require(cluster, order))
        if late := reached(lambda: hindrance(cluster, order)):
            raise NotYet(late)

    eventually(out, within=order.within, awaited=f"Deployment {order.target} is rolled out")
    tell("rolled out", f"in {time.monotonic() - started:.1f} s")


def patched(cluster: Cluster, order: Order, patch: list[dict[str, Any]]) -> dict[str, Any]:
    """The Deployment after a JSON patch, which is one act. Raises CommandFailed where the API server refuses it."""
    place = (f"--namespace={order.namespace}", f"deployment/{order.deployment}")
    said = cluster.kubectl("patch", *place, "--type=json", f"--patch={json.dumps(patch)}", "--output=json")
    found: dict[str, Any] = json.loads(said)
    return found


def hindrance(cluster: Cluster, order: Order) -> str:
    """What the roll-out lacks, and what its pods say; empty once it is out. Raises Failed where waiting is no use.

    What is wrong with pods that don't have the image is older than the release, and no reason to undo it.
    """
    late = lateness(cluster, order.namespace, order.deployment)
    if not late:
        return ""
    selector = selector_of(cluster.get(order.path))
    pods = cluster.core.list_namespaced_pod(order.namespace, label_selector=selector).items
    mine = {pod.metadata.name for pod in pods if order.image in {each.image for each in pod.spec.containers}}
    found = [each for each in troubles(cluster, order.namespace, selector) if each.pod in mine]
    if hopeless := [each.text for each in found if each.hopeless]:
        raise Failed(f"{late}: {hopeless[0]}")
    return "; ".join([late, *(each.text for each in found[:1])])


def reached(ask: Callable[[], T]) -> T:
    """An answer of the API server. Raises NotYet while it can't be reached: that alone undoes no release."""
    try:
        return ask()
    except (HTTPError, Inconclusive) as silent:
        raise NotYet(f"the API server doesn't answer: {type(silent).__name__}") from silent
    except ApiException as error:
        if error.status and 400 <= error.status < 500 and error.status not in PASSING:
            raise
        raise NotYet(f"the API server answers {error.status} {error.reason}") from error


def undo(cluster: Cluster, order: Order, before: Before, ours: Ours, tell: Tell) -> Outcome:
    """Put the template of before back, and wait until it serves again."""
    started = time.monotonic()

    def back() -> None:
        reached(lambda: put_back(cluster, order, before, ours))
        if late := reached(lambda: lateness(cluster, order.namespace, order.deployment)):
            raise NotYet(late)

    try:
        eventually(back, within=order.patience, awaited=f"{order.target} is back at {before.image}")
    except BaseException as error:  # noqa: BLE001 - a second signal too: whoever reads the log must know
        tell("NOT UNDONE", f"{told(error)}; do it by hand: {by_hand(cluster, order, before)}")
        return Outcome.NOT_UNDONE
    tell("undone", f"{before.image} serves again, after {time.monotonic() - started:.1f} s")
    return Outcome.UNDONE


def put_back(cluster: Cluster, order: Order, before: Before, ours: Ours) -> None:
    """Put the template of before back, unless it is there. Raises Failed where somebody else has changed it since."""
    now = cluster.get(order.path)["spec"]["template"]
    if now == before.template:
        return
    there = now["spec"]["containers"][before.index].get("image")
    if there != order.image if ours.template is None else now != ours.template:
        raise Failed(
            f"{order.target} was changed by somebody else meanwhile, and has image {there}: that is left alone"
        )
    patch = [
        # in one act: another release that comes at this moment is not thrown away
        {"op": "test", "path": "/spec/template", "value": now},
        {"op": "replace", "path": "/spec/template", "value": before.template},
    ]
    try:
        patched(cluster, order, patch)
    except CommandFailed as refused:
        raise NotYet(plain(refused.stderr)) from refused


def by_hand(cluster: Cluster, order: Order, before: Before) -> str:
    """The command that puts the image back."""
    place = f"--context={cluster.context} --namespace={order.namespace} deployment/{order.deployment}"
    return f"kubectl set image {place} {order.container}={before.image}"


def told(error: BaseException) -> str:
    """An error in one line."""
    kind = "" if isinstance(error, Failed | Refused | CommandFailed) else f"{type(error).__name__}: "
    return plain(f"{kind}{error}")
