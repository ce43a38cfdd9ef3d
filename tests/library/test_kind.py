"""What becomes of clusters that runs leave behind, and how a cluster is configured; no cluster is made."""

import multiprocessing
import multiprocessing.synchronize
import socket
import stat
from pathlib import Path

import pytest
import yaml

from shakedown.cluster import kind, ports
from shakedown.cluster.config import CONTROLLER_FAST, kind_config
from shakedown.cluster.registry import Home, Record
from shakedown.settings import Clock
from shakedown.verdict import UnusableEnvironment


class FakeBed:
    """A bed whose kind only writes down what it was asked."""

    seed = None
    images: tuple[str, ...] = ()
    node_image = "node:1"

    def __init__(self, folder: Path) -> None:
        self.kind = self.kubectl = folder / "kind"
        self.asked = folder / "asked"
        self.kind.write_text(f'#!/bin/sh\necho "$@" >> {self.asked}\n')
        self.kind.chmod(self.kind.stat().st_mode | stat.S_IXUSR)
        self.removed: list[str] = []

    def node_stores(self, cluster: str, nodes: int) -> list[Path]:
        return [Path(f"/stores/{cluster}/{node}") for node in range(nodes)]

    def remove_stores(self, cluster: str) -> None:
        self.removed.append(cluster)


@pytest.fixture
def bed(tmp_path: Path) -> FakeBed:
    return FakeBed(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "clusters").mkdir()
    return tmp_path / "clusters"


def leave(root: Path, name: str, *, keep: bool, whole: bool) -> None:
    Home(root, name).write(Record(name, Clock.FAST, "r", keep, 1234, whole))


def test_what_a_dead_run_left_is_deleted_and_a_whole_kept_cluster_stays(root: Path, bed: FakeBed) -> None:
    leave(root, "kept", keep=True, whole=True)
    leave(root, "half", keep=True, whole=False)
    leave(root, "own", keep=False, whole=True)
    (root / "unreadable").mkdir()

    kind.sweep(root, bed)

    assert sorted(p.name for p in root.iterdir() if p.is_dir()) == ["kept"]
    assert sorted(bed.removed) == ["half", "own", "unreadable"]
    assert bed.asked.read_text().count("delete cluster") == 3


def hold(root: Path, name: str, held: multiprocessing.synchronize.Event) -> None:
    home = Home(root, name)
    home.claim()
    held.set()
    multiprocessing.Event().wait(30)


def test_a_cluster_of_a_living_run_is_let_be_and_its_kept_name_is_not_taken(root: Path, bed: FakeBed) -> None:
    leave(root, "shakedown-fast", keep=True, whole=False)
    context = multiprocessing.get_context("fork")
    held = context.Event()
    other = context.Process(target=hold, args=(root, "shakedown-fast", held))
    other.start()
    assert held.wait(10)
    try:
        kind.sweep(root, bed)
        mine = kind.claim(kind.Order(Clock.FAST, keep=True, name="", gateway_port=0, root=root))
    finally:
        other.kill()
        other.join()
    assert not bed.asked.exists()
    assert mine.name != "shakedown-fast"
    mine.release()
    kind.sweep(root, bed)  # the other run was killed: its lock went with it
    assert bed.removed == ["shakedown-fast"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"whole": False}, "cut short"),
        ({"recipe": "of old"}, "have changed since"),
        ({"gateway_port": 4321}, "its front door is port 4321, wanted is 1234"),
    ],
)
def test_a_kept_cluster_that_does_not_fit_is_not_taken(
    root: Path, bed: FakeBed, change: dict[str, object], reason: str
) -> None:
    order = kind.Order(Clock.FAST, keep=True, name="", gateway_port=1234, root=root)
    fields: dict[str, object] = {"recipe": kind.recipe_of(order, bed), "gateway_port": 1234, "whole": True, **change}
    record = Record(name="k", clock=Clock.FAST, keep=True, **fields)  # type: ignore[arg-type]
    assert reason in kind.unfit(record, order, bed)


def test_a_cluster_of_the_other_clock_has_another_name(root: Path) -> None:
    names = {kind.Order(clock, keep=True, name="mine", gateway_port=0, root=root).kept_name for clock in Clock}
    assert names == {"mine-fast", "mine-faithful"}


def test_a_taken_port_is_named_with_who_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnusableEnvironment, match=rf"port {port} .*\(pid \d+\) listens there.*--gateway-port"):
            ports.choose(port)


def test_any_free_port_is_chosen_where_none_is_named() -> None:
    assert ports.choose(0) > 0


def test_only_the_fast_clock_changes_the_control_planes_periods() -> None:
    fast, faithful = (kind_config(clock, 4000, Path("/m"), Path("/v"), []) for clock in (Clock.FAST, Clock.FAITHFUL))
    assert "horizontal-pod-autoscaler-sync-period" not in faithful
    patches = [yaml.safe_load(patch) for patch in yaml.safe_load(fast)["kubeadmConfigPatches"]]
    old = next(p for p in patches if p["apiVersion"].endswith("v1beta3"))
    new = next(p for p in patches if p["apiVersion"].endswith("v1beta4"))
    assert old["controllerManager"]["extraArgs"] == CONTROLLER_FAST
    assert {a["name"]: a["value"] for a in new["controllerManager"]["extraArgs"]} == CONTROLLER_FAST


def test_the_front_door_is_on_127_0_0_1_only_and_every_node_sees_the_model_store() -> None:
    stores = [Path(f"/s/{node}") for node in range(3)]
    nodes = yaml.safe_load(kind_config(Clock.FAST, 4000, Path("/m"), Path("/v"), stores))["nodes"]
    assert [m["listenAddress"] for node in nodes for m in node.get("extraPortMappings", [])] == ["127.0.0.1"]
    mounts = [{m["containerPath"]: m["hostPath"] for m in node["extraMounts"]} for node in nodes]
    assert [m["/models"] for m in mounts] == ["/m"] * 3
    assert [m["/var/lib/containerd"] for m in mounts] == ["/s/0", "/s/1", "/s/2"]
