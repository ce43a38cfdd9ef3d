from pathlib import Path

import pytest
import yaml

from mutants import mechanical
from mutants.bench import Bench, bench
from mutants.catalogue import CatalogueError, Caught, Change, Mutant, read
from mutants.change import DoesNotApply, apply
from mutants.score import Fate, judge_mutant
from shakedown.lint.objects import Obj

SERVER = "Deployment vision/label-reader"
SERVICE = Obj(
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "n"}, "spec": {"x": "old"}}, ""
)


@pytest.fixture(scope="module")
def ground() -> Bench:
    return bench()


def mutant(path: str, value: object, **caught: str) -> Mutant:
    named = {
        "layer": "static",
        "test": "suites/static/test_autoscaling.py::x",
        "rule": "replicas-left-to-hpa",
        "object": SERVER,
        "says": "drop the field",
    }
    return Mutant(
        id="m", title="t", suffers="s", origin="o", deployment="label-reader",
        change=[Change(on=SERVER, patch=[{"op": "add", "path": path, "value": value}])],
        caught=Caught.model_validate({**named, **caught}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "caught", "fate"),
    [
        ("/spec/replicas", 3, {}, Fate.KILLED),
        ("/spec/replicas", 3, {"says": "another phrase"}, Fate.WRONG_TEST),
        ("/spec/replicas", 3, {"test": "suites/static/test_security.py::x"}, Fate.WRONG_TEST),
        ("/metadata/annotations", {"note": "harmless"}, {}, Fate.SURVIVED),
        ("/spec/nowhere/deep", 1, {}, Fate.WORTHLESS),
        ("/spec/replica", 3, {}, Fate.WORTHLESS),
    ],
)
def test_each_fate_is_told_apart(ground: Bench, path: str, value: object, caught: dict[str, str], fate: Fate) -> None:
    """Killed by the named test, by another, by none, and worthless: does not apply, or is refused by the API server."""
    assert judge_mutant(mutant(path, value, **caught), ground).fate is fate


@pytest.mark.parametrize(
    "change",
    [
        Change(on="Service n/a", patch=[{"op": "replace", "path": "/spec/x", "value": "old"}]),
        Change.model_validate({"on": "Service n/a", "replace": [{"path": "/spec/x", "old": "new", "new": "b"}]}),
        Change(remove="Service n/b"),
    ],
)
def test_a_mutant_that_changes_nothing_is_refused(change: Change) -> None:
    with pytest.raises(DoesNotApply):
        apply([SERVICE], change, frozenset())


def test_a_slip_of_the_pen_in_the_catalogue_is_refused(tmp_path: Path) -> None:
    file = next(Path(mechanical.__file__).parent.glob("catalogue/static/*.yaml"))
    data = yaml.safe_load(file.read_text())
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / file.name).write_text(yaml.safe_dump({**data, "tittle": "x"}))
    with pytest.raises(CatalogueError, match="tittle"):
        read("static", tmp_path)


def test_a_survivor_that_nobody_judged_and_a_stale_judgement_are_told() -> None:
    judged = [
        mechanical.Judgement.model_validate({"pattern": pattern, "count": 1, "class": "harmless", "reason": "r"})
        for pattern in ("labels", "never")
    ]
    crashed = f"c delete /labels{mechanical.CRASHED}KeyError()"
    outcome = mechanical.hold(10, ["a delete /labels", "b delete /spec", crashed], judged, 1.0)
    assert outcome.survivors == {"a delete /labels": "harmless"}
    assert (outcome.unjudged, outcome.stale) == (["b delete /spec", crashed], ["never"])


def test_every_mechanical_mutant_has_a_name_of_its_own(ground: Bench) -> None:
    """Survivors are kept by name: two of one name would count as one, and the score would flatter."""
    names = [str(spot) for spot in mechanical.spots(ground)]
    assert len(set(names)) == len(names) > 0
