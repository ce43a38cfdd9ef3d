"""A version that comes into the store is taken over, or left alone where it is broken, and users notice nothing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.serving import Steady
from fixtures.verdicts import Evidence
from models.build import bundle
from shakedown.serving import Endpoint
from shakedown.settings import Deadlines, Deployment
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed  # it writes into the model store

Replicas = dict[str, Endpoint]
ATTEMPTS = ":tensorflow:cc:saved_model:load_attempt_count"


@contextmanager
def imported(store: Path, model: str, source: Path, version: int) -> Iterator[None]:
    """A version put into the store as the import Job does it: copied beside, then renamed; gone again at the end."""
    beside, place = store / ".incoming-shakedown", store / model / str(version)
    shutil.copytree(source, beside)
    for path in [beside, *beside.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    beside.rename(place)
    try:
        yield
    finally:
        place.rename(beside)
        shutil.rmtree(beside)


def await_states(replicas: Replicas, model: str, wanted: dict[int, set[str]], within: float) -> None:
    """Wait until each server has each of these versions in one of the states that are wanted for it."""

    def there() -> None:
        seen = {name: endpoint.status(model) for name, endpoint in replicas.items()}
        late = {n: has for n, has in seen.items() if any(has.get(v) not in states for v, states in wanted.items())}
        if late:
            raise NotYet(str(late))

    eventually(there, within=within, awaited=f"each server has versions {wanted}")


def test_new_version_is_taken_over_without_a_failed_or_wrong_prediction(
    replicas: Replicas,
    store: Path,
    deployment: Deployment,
    deadlines: Deadlines,
    trickle: Steady,
    served: int,
    evidence: Evidence,
) -> None:
    """Every server swaps to a new version and back, and each prediction is the old version's or the new one's."""
    model, new, source = deployment.model, served + 1, 1  # known answers under a new number
    with trickle() as flow:
        flow.collect(10)
        with imported(store, model, bundle() / model / str(source), new):
            await_states(replicas, model, {new: {"AVAILABLE"}, served: {"END"}}, deadlines.pods)
            settled = len(flow.sent)
            flow.collect(10)
            swapped = {one.version for one in flow.sent[settled + 1 : settled + 10]}
        await_states(replicas, model, {served: {"AVAILABLE"}, new: {"END"}}, deadlines.pods)
        flow.collect(10)
    told = flow.judge({served, source}, least=50)
    assert swapped == {source}, f"after the swap users got answers of versions {swapped}"
    evidence(f"{len(replicas)} servers to version {new} and back; {told}")


def test_broken_version_is_never_served_and_the_good_one_serves_on(
    replicas: Replicas,
    store: Path,
    deployment: Deployment,
    deadlines: Deadlines,
    trickle: Steady,
    served: int,
    evidence: Evidence,
) -> None:
    """Every server tries a truncated version and fails, keeps the good one, and no prediction fails or is wrong."""
    model, new = deployment.model, served + 1
    before = failed_loads(replicas)

    def tried() -> None:
        late = [name for name, count in failed_loads(replicas).items() if count <= before[name]]
        if late:
            raise NotYet(f"{', '.join(late)} has not tried it")

    with trickle() as flow:
        flow.collect(10)
        with imported(store, model, bundle() / "spoiled" / "truncated", new):
            eventually(tried, within=deadlines.pods, awaited="each server tries the broken version")
            flow.collect(20)
            available = {
                version for e in replicas.values() for version, s in e.status(model).items() if s == "AVAILABLE"
            }
        await_states(replicas, model, {served: {"AVAILABLE"}, new: {"END"}}, deadlines.pods)
    told = flow.judge({served}, least=30)
    assert available == {served}, f"versions {available} AVAILABLE while version {new} is broken"
    evidence(f"{len(replicas)} servers tried version {new} and kept version {served}; {told}")


def failed_loads(replicas: Replicas) -> dict[str, float]:
    """How many loads have failed on each server, as its metrics count them."""
    return {name: e.metric(ATTEMPTS) - e.metric(ATTEMPTS, status="success") for name, e in replicas.items()}
