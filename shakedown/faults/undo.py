"""How a fault is undone, as data: a closed list of acts, each of which may be done twice or come too late."""

import os
import shutil
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal

from kubernetes.client import ApiException
from pydantic import BaseModel, ConfigDict, Field

from shakedown.cluster import Cluster
from shakedown.cluster.host import engine, on_node, state_of

# signals a process only if it is still the one that was meant: numbers are given out again
SIGNAL = r"""
signal=$1; shift
for each; do
  pid=${each%:*} started=${each#*:}
  now=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)
  [ "$now" != "$started" ] || kill "-$signal" "$pid"
done
"""
# a pod's network namespace goes with the pod, and takes along what was to be undone in it
DROP = r"""
[ -e "/run/netns/$1" ] || exit 0
printf 'table inet %s\ndelete table inet %s\n' "$2" "$2" | ip netns exec "$1" nft -f -
"""
# twice declared is once declared, so that there always is one to delete
DROP_HERE = r"""
printf 'table inet %s\ndelete table inet %s\n' "$1" "$1" | nft -f -
"""
UNSHAPE = r"""
[ -e "/run/netns/$1" ] || exit 0
tc -n "$1" qdisc show dev eth0 | grep -q tbf || exit 0
tc -n "$1" qdisc del dev eth0 root
"""
UNMOUNT = r"""
while grep -q "^$1 $2 " /proc/mounts; do umount "$2" || exit 1; done
"""


class Act(BaseModel):
    """One act that undoes something."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Patch(Act):
    """Put fields of an object back, by RFC 6902 operations that may be applied twice."""

    kind: Literal["patch"] = "patch"
    path: str
    operations: tuple[dict[str, Any], ...]


class Delete(Act):
    """Delete an object that the fault made."""

    kind: Literal["delete"] = "delete"
    path: str


class Run(Act):
    """Let a kind node's container run again, after a pause or a stop."""

    kind: Literal["run"] = "run"
    node: str


class Continue(Act):
    """Let stopped processes of a node go on; each is `pid:start time in ticks`."""

    kind: Literal["continue"] = "continue"
    node: str
    processes: tuple[str, ...]


class DropTable(Act):
    """Delete a packet filter's table from a pod's network namespace, which a node holds under a name of its own."""

    kind: Literal["drop-table"] = "drop-table"
    node: str
    netns: str
    table: str


class DropNodeTable(Act):
    """Delete a packet filter's table of a node itself, where it is still there."""

    kind: Literal["drop-node-table"] = "drop-node-table"
    node: str
    table: str


class Unshape(Act):
    """Take the traffic shaping off a pod's side of its network device."""

    kind: Literal["unshape"] = "unshape"
    node: str
    netns: str


class Unmount(Act):
    """Take a volume of the fault's own, named by its source, off a folder of a node."""

    kind: Literal["unmount"] = "unmount"
    node: str
    path: str
    source: str


class MoveBack(Act):
    """Put a file of the model store back in its place; both paths are below the store."""

    kind: Literal["move-back"] = "move-back"
    aside: str
    place: str


class Remove(Act):
    """Take a file or folder out of the model store."""

    kind: Literal["remove"] = "remove"
    path: str


AnyAct = Annotated[
    Patch | Delete | Run | Continue | DropTable | DropNodeTable | Unshape | Unmount | MoveBack | Remove,
    Field(discriminator="kind"),
]


def within_namespaces(act: Act, namespaces: tuple[str, ...]) -> bool:
    """Whether an act touches nothing but objects of these namespaces."""
    return isinstance(act, Patch | Delete) and any(f"/namespaces/{name}/" in act.path for name in namespaces)


def perform(cluster: Cluster, act: Act) -> None:
    """Do one act; what is already as it should be, or gone, is fine. Raises what API and engine say otherwise."""
    match act:
        case Patch():
            send(cluster, "PATCH", act.path, list(act.operations))
        case Delete():
            send(cluster, "DELETE", act.path, {"propagationPolicy": "Background"})
        case Run():
            run_again(cluster, act.node)
        case MoveBack():
            move_back(cluster, act)
        case Remove():
            remove(cluster, act.path)
        case _:
            on_running_node(cluster, act)


def run_again(cluster: Cluster, node: str) -> None:
    """Unpause or start a node, whichever it needs."""
    state = state_of(cluster, node)
    if state == "paused":
        engine(cluster, "unpause", node)
    elif state != "running":
        engine(cluster, "start", node)


def on_running_node(cluster: Cluster, act: Act) -> None:
    """Do an act inside a node; a node that was stopped since has lost what was to be undone."""
    match act:
        case Continue(node=node, processes=processes):
            command = ("bash", "-c", SIGNAL, "bash", "CONT", *processes)
        case DropTable(node=node, netns=netns, table=table):
            command = ("sh", "-c", DROP, "sh", netns, table)
        case DropNodeTable(node=node, table=table):
            command = ("sh", "-c", DROP_HERE, "sh", table)
        case Unshape(node=node, netns=netns):
            command = ("sh", "-c", UNSHAPE, "sh", netns)
        case Unmount(node=node, path=path, source=source):
            command = ("sh", "-c", UNMOUNT, "sh", source, path)
        case _:
            raise TypeError(f"no way to undo by {act!r}")
    if state_of(cluster, node) != "exited":
        on_node(cluster, node, *command)


def send(cluster: Cluster, method: str, path: str, body: object) -> int:
    """Ask the API server for a change, and give back its HTTP code; an object that is gone (404) is fine.

    A PATCH with a list is RFC 6902's, one with a mapping RFC 7386's. Raises ApiException.
    """
    patch = "application/json-patch+json" if isinstance(body, list) else "application/merge-patch+json"
    headers = {"Accept": "application/json", "Content-Type": patch if method == "PATCH" else "application/json"}
    asked = cluster.api.param_serialize(method, path, header_params=headers, body=body, auth_settings=["BearerToken"])
    response = cluster.api.call_api(*asked)
    response.read()
    if response.status >= HTTPStatus.BAD_REQUEST and response.status != HTTPStatus.NOT_FOUND:
        raise ApiException(status=response.status, reason=f"{method} {path}: {response.data.decode()[:300]}")
    return int(response.status)


def in_store(cluster: Cluster, path: str) -> Path:
    """A path of the model store. Raises PermissionError for one that leads out of it, or where there is no store."""
    if cluster.store is None:
        raise PermissionError(f"cluster {cluster.name} has no model store on this host")
    store = cluster.store.resolve()
    found = Path(os.path.normpath(store / path))
    if store not in found.parents:
        raise PermissionError(f"{path} is not below the model store {store}")
    return found


def move_back(cluster: Cluster, act: MoveBack) -> None:
    """Put a file back by one rename; where it isn't set aside, it is in its place."""
    aside = in_store(cluster, act.aside)
    if aside.exists():
        aside.replace(in_store(cluster, act.place))


def remove(cluster: Cluster, path: str) -> None:
    """Take a file or folder out of the store, by one rename, so that no server that polls loads half of it."""
    place, beside = in_store(cluster, path), in_store(cluster, f".removed-{path.replace('/', '-')}")
    if place.exists():
        shutil.rmtree(beside, ignore_errors=True)
        place.rename(beside)
    if beside.is_dir():
        shutil.rmtree(beside)
    else:
        beside.unlink(missing_ok=True)
