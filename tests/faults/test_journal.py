"""The journal is written before the fault begins, and undone by whoever comes next, as far as it may be trusted."""

import json
import time
from pathlib import Path

import pytest

from shakedown.cluster import Cluster
from shakedown.faults.guard import Limits, Radius, Refused
from shakedown.faults.inject import Faults, Together
from shakedown.faults.journal import ANNOTATION, Entry, Journal, restore
from shakedown.faults.undo import AnyAct, Delete, MoveBack, Patch, Remove, Run, perform
from shakedown.ledger import Ledger
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet
from tests.faults.conftest import NAMESPACE, Api

POD = f"/api/v1/namespaces/{NAMESPACE}/pods/a"


@pytest.fixture
def journal(cluster: Cluster) -> Journal:
    return Journal(cluster, cluster.kubeconfig.parent / "faults", NAMESPACE)


def test_a_fault_is_on_disk_and_in_the_cluster_before_it_begins(journal: Journal, api: Api) -> None:
    entry = journal.write("pod-hung", "ns/a", (Delete(path=POD),), 60)
    assert [left.id for left in journal.left()] == [entry.id]
    assert Entry.model_validate_json(api.annotations[f"{ANNOTATION}{entry.id}"]) == entry


def test_a_fault_that_cannot_be_noted_in_the_cluster_does_not_begin(journal: Journal, api: Api) -> None:
    api.refuse = 1
    with pytest.raises(Exception, match="503"):
        journal.write("pod-hung", "ns/a", (), 60)
    assert not journal.left()


def test_undoing_waits_for_an_api_server_that_is_away(journal: Journal, api: Api) -> None:
    entry = journal.write("pod-hung", "ns/a", (Delete(path=POD),), 60)
    api.refuse = 3
    assert journal.undo(entry)
    assert ("DELETE", POD) in [(method, path) for method, path, _ in api.asked]
    assert not api.annotations


def test_what_somebody_else_has_undone_is_not_undone_again(journal: Journal, api: Api) -> None:
    entry = journal.write("pod-hung", "ns/a", (Delete(path=POD),), 60)
    assert journal.undo(entry)
    asked = len(api.asked)
    assert not journal.undo(entry)
    assert len(api.asked) == asked


def test_the_latest_fault_is_undone_first(journal: Journal) -> None:
    for name in ("first", "second", "third"):
        journal.write(name, "ns/a", (), 60)
        time.sleep(0.01)
    undone = restore(journal.cluster, journal.folder, NAMESPACE)
    assert [entry.fault for entry in undone] == ["third", "second", "first"]


def noted(cluster: Cluster, api: Api, act: Patch | Run, **changed: object) -> None:
    """An entry that only the cluster tells of."""
    journal = Journal(cluster, cluster.kubeconfig.parent / "elsewhere", NAMESPACE)
    entry = journal.write("pod-hung", "ns/a", (act,), 60)
    api.annotations[f"{ANNOTATION}{entry.id}"] = json.dumps({**entry.model_dump(mode="json"), **changed})


def test_an_annotation_of_a_foreign_cluster_commands_nothing_beyond_its_namespace(
    foreign: Cluster, api: Api, tmp_path: Path
) -> None:
    """Who may annotate a namespace must not be able to have nodes or other namespaces changed by whoever restores."""
    noted(foreign, api, Patch(path="/api/v1/nodes/worker", operations=()))
    with pytest.raises(Inconclusive, match="reaches beyond namespace model-serving; undo it by hand"):
        restore(foreign, tmp_path / "faults", NAMESPACE)


def test_a_fault_of_another_machine_is_left_to_it_until_its_time_is_over(
    cluster: Cluster, api: Api, tmp_path: Path
) -> None:
    noted(cluster, api, Patch(path=POD, operations=()), host="elsewhere")
    with pytest.raises(Inconclusive, match="is going on from elsewhere"):
        restore(cluster, tmp_path / "faults", NAMESPACE)
    api.annotations.clear()
    noted(cluster, api, Patch(path=POD, operations=()), host="elsewhere", deadline=time.time() - 1)
    assert len(restore(cluster, tmp_path / "faults", NAMESPACE)) == 1


def test_nothing_outside_the_model_store_is_touched(cluster: Cluster) -> None:
    for act in (Remove(path="../kubeconfig"), MoveBack(aside="digits/2/saved_model.pb", place="../../x")):
        with pytest.raises(PermissionError, match="is not below the model store"):
            perform(cluster, act)
    assert cluster.kubeconfig.exists()


class Silent:
    """A fault that never bites."""

    name, target, radius = "silent", "ns/a", Radius(frozenset())
    undo: tuple[AnyAct, ...] = ()

    def inject(self) -> None:
        """Do nothing."""

    def prove(self) -> str:
        raise NotYet("nothing is to be seen")


def test_a_fault_that_never_bites_lets_nothing_be_judged(journal: Journal, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    faults = Faults(journal.cluster, journal, ledger, Limits(1, 1.0), seconds=60, proof=0.5)
    with pytest.raises(Inconclusive, match=r"the fault never bit.*nothing is to be seen"), faults.inject(Silent()):
        pytest.fail("the block was entered")
    assert not journal.left()
    steps = [event.fields["step"] for event in ledger.events() if event.kind == "fault"]
    assert steps == ["noted", "limited", "injected", "undoing", "restored"]


class Noted(Silent):
    """A fault that says what becomes of it."""

    def __init__(self, name: str, said: list[str], pods: frozenset[str]) -> None:
        self.name, self.said = name, said
        self.radius = Radius(frozenset({NAMESPACE}), pods, 3)
        self.undo = (Delete(path=f"/{name}"),)

    def inject(self) -> None:
        self.said.append(self.name)

    def prove(self) -> str:
        return f"{self.name} bit"


def test_two_faults_at_once_are_one_that_hurts_what_both_do_and_is_undone_backwards(
    journal: Journal, api: Api, tmp_path: Path
) -> None:
    said: list[str] = []
    both = Together((Noted("first", said, frozenset("a")), Noted("second", said, frozenset("b"))))
    faults = Faults(journal.cluster, journal, Ledger(tmp_path / "ledger"), Limits(1, 0.67), seconds=60, proof=5)
    with faults.inject(both) as bitten:
        assert bitten.said == "first bit; second bit"
    assert said == ["first", "second"]
    assert [path for method, path, _ in api.asked if method == "DELETE"] == ["/second", "/first"]
    with pytest.raises(Refused), Faults(**{**vars(faults), "limits": Limits(1, 0.5)}).inject(both):
        pytest.fail("the block was entered")
