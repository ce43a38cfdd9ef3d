"""A total outage: seen although every series is gone, told once, and the warnings that follow from it held back."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from fixtures.verdicts import Evidence
from shakedown.causes import Scene, nothing_left
from shakedown.course import Expected, Monitoring, await_firing, follow, plan
from shakedown.settings import Deployment
from shakedown.wait import NotYet, eventually

pytestmark = [
    pytest.mark.test_bed,  # it makes an outage
    pytest.mark.timeout(3600),  # as long as its alerts take on the faithful clock; each wait has a bound of its own
]
HELD_BACK = "ReplicasBelowWanted"


@contextmanager
def and_before_it_ends(cause: AbstractContextManager[str], look: Callable[[], None]) -> Iterator[str]:
    """A cause that something is asked of once its alerts have come, before it is taken away."""
    with cause as proof:
        yield proof
        look()


def test_total_outage_is_told_and_the_warnings_that_follow_from_it_are_held_back(
    quiet: float,
    monitoring: Monitoring,
    scene: Scene,
    deployment: Deployment,
    promised: float,
    evidence: Evidence,
) -> None:
    """With no server left, the page comes and the prober agrees; the warning about replicas fires, but is inhibited."""
    held: list[str] = []

    def inhibited() -> None:
        expected = Expected(HELD_BACK, {"deployment": deployment.workload})
        await_firing(monitoring, plan(monitoring, expected, promised))

        def by_alertmanager() -> None:
            found = [one for one in monitoring.alertmanager.alerts() if expected.fits(one["labels"])]
            if not any(one["status"]["inhibitedBy"] for one in found):
                raise NotYet(f"{[one['status'] for one in found]}")

        eventually(by_alertmanager, within=scene.within, awaited=f"Alertmanager inhibits {HELD_BACK}")
        told = [d for d in monitoring.sink.deliveries() if d.at >= began and d.status == "firing"]
        held.extend(f"{d.name} {d.at - began:.0f} s after the outage" for d in told if expected.fits(d.labels))
        held.append("asked")

    assert quiet
    began = time.time()
    cause = and_before_it_ends(nothing_left(scene, scene.namespace, deployment.workload), inhibited)
    wanted = [
        Expected("ServiceUnhealthy", {"severity": "critical", "namespace": deployment.namespace}),
        Expected("PredictionProbeFailing", {"way": "service"}),
        Expected("PredictionProbeFailing", {"way": "gateway"}),
    ]
    courses = follow(monitoring, wanted, promised, cause)
    page = f"ServiceUnhealthy {courses[0].first.at - began:.0f} s after the outage"
    assert held == ["asked"], f"delivered: {held[0]}; it is inhibited only from when the page fired, delivered: {page}"
    for course in courses:
        course.assert_in_time()
        evidence(str(course))
    evidence(f"{HELD_BACK} fired, inhibited and not delivered; {page}")
