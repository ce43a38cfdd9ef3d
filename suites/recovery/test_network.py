"""The network fails one server: cut off, lossy, slow."""

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.faults.network import NetworkSlow, PacketsDropped
from shakedown.faults.pods import Victim
from shakedown.pace import Pace
from shakedown.recovery import replaced_pods, restarted_pods, whole, withdrawn

pytestmark = pytest.mark.test_bed
LOSS_PERCENT = 10
LOSS_SHARE = 0.01  # of the predictions: what TCP does not make good within the dial time-out and the readiness
LASTS_S = 15.0
KBIT = 200  # an answer of some 400 bytes takes about 20 ms of it, a probe less: slow, and not dead


def test_server_that_is_cut_off_is_taken_out_and_comes_back(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """A server that no packet reaches gets no more requests once readiness has missed it, and again when it is back."""
    fault = PacketsDropped(victim, victim.netns(), 100)
    out = Expected(withdrawn([victim.pod.name]), pace.withdrawn)
    course = arena.run(fault, {victim.pod.name}, out, Expected(whole(victim.out_of), pace.restarted))
    assert replaced_pods(course.before, course.last) == (set(), set())
    course.require_loss_below(arena.rate * pace.withdrawn / victim.out_of)
    evidence(course.told())


@pytest.mark.conformance
def test_server_that_loses_packets_costs_hardly_a_prediction(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """Packets that are lost now and then are sent again by TCP: predictions are late, and hardly any fails."""
    fault = PacketsDropped(victim, victim.netns(), LOSS_PERCENT)
    course = arena.run(fault, {victim.pod.name}, Expected(whole(victim.out_of), pace.withdrawn), lasting=LASTS_S)
    course.require_loss_below(LOSS_SHARE * course.traffic.sent)
    evidence(course.told())


@pytest.mark.conformance
def test_server_behind_a_slow_network_fails_no_prediction(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """A server whose answers take their time on the way is slow, and neither taken out nor started again nor wrong."""
    fault = NetworkSlow(victim, victim.netns(), KBIT)
    course = arena.run(fault, {victim.pod.name}, Expected(whole(victim.out_of), pace.withdrawn), lasting=LASTS_S)
    assert course.stages.out is None, (
        f"{victim.pod.name} was taken out {course.stages.out:.1f} s after; see readinessProbe"
    )
    again = restarted_pods(course.before, course.last)
    assert not again, f"{', '.join(again)} started again; see livenessProbe"
    course.require_no_loss()
    evidence(course.told())
