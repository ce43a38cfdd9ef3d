"""One server goes, in whatever way, and users don't notice, or hardly."""

import pytest

from fixtures.faults import Arena, Expected
from fixtures.verdicts import Evidence
from shakedown.faults.memory import OutOfMemory
from shakedown.faults.pods import ContainerKilled, PodDeleted, ServerHung, Victim
from shakedown.pace import Pace
from shakedown.recovery import replaced_pods, restarted_pods, rid_of, run_anew

IN_FLIGHT = 5  # predictions that one server may have in hand when it dies; each takes some milliseconds
FILLING_S = 1.0  # that a server stalls while its memory fills up, and keeps what comes in meanwhile


def test_deleted_pod_is_replaced_without_a_failed_or_wrong_prediction(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """A server that is told to end drains, a new one takes its place in time, and no prediction fails."""
    fault = PodDeleted(victim)
    course = arena.run(fault, {victim.pod.name}, Expected(rid_of([victim.pod.name], victim.out_of), pace.drained))
    gone, came = replaced_pods(course.before, course.last)
    assert gone == {victim.pod.name}, f"{gone} went, and {victim.pod.name} was to"
    assert len(came) == 1, f"{came} came for one pod"
    assert not restarted_pods(course.before, course.last)
    course.require_no_loss()
    evidence(course.told())


def test_pod_deleted_at_once_is_replaced_with_hardly_a_failed_prediction(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """A server that ends without notice is made up for; the gateway's retries find others, but for what was in hand."""
    fault = PodDeleted(victim, grace=0)
    course = arena.run(fault, {victim.pod.name}, Expected(rid_of([victim.pod.name], victim.out_of), pace.replaced))
    gone, came = replaced_pods(course.before, course.last)
    assert gone == {victim.pod.name}, f"{gone} went, and {victim.pod.name} was to"
    assert len(came) == 1, f"{came} came for one pod"
    course.require_loss_below(IN_FLIGHT)
    evidence(course.told())


@pytest.mark.test_bed
def test_killed_container_runs_anew_in_the_same_pod_with_hardly_a_failed_prediction(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """A server whose process dies is started again where it was; nothing is lost but what was in hand."""
    fault = ContainerKilled(victim, victim.processes())
    anew = run_anew(victim.pod.name, victim.pod.restarts, victim.out_of)
    course = arena.run(fault, {victim.pod.name}, Expected(anew, pace.replaced))
    assert replaced_pods(course.before, course.last) == (set(), set())
    assert restarted_pods(course.before, course.last) == {victim.pod.name}
    course.require_loss_below(IN_FLIGHT)
    evidence(course.told())


@pytest.mark.test_bed
def test_server_that_hangs_is_taken_out_and_restarted(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """A server that says nothing loses its share until readiness takes it out, and liveness has it started again."""
    fault = ServerHung(victim, victim.processes())
    anew = run_anew(victim.pod.name, victim.pod.restarts, victim.out_of)
    course = arena.run(fault, {victim.pod.name}, Expected(anew, pace.restarted))
    assert replaced_pods(course.before, course.last) == (set(), set())
    assert restarted_pods(course.before, course.last) == {victim.pod.name}
    out = course.stages.out
    assert out is not None
    assert out <= pace.withdrawn, (
        f"{victim.pod.name} got requests for {out:.1f} s; its readiness allows {pace.withdrawn:.1f}"
    )
    course.require_loss_below(arena.rate * pace.withdrawn / victim.out_of)
    evidence(course.told())


@pytest.mark.test_bed
def test_server_out_of_memory_runs_anew_with_hardly_a_failed_prediction(
    arena: Arena, victim: Victim, pace: Pace, evidence: Evidence
) -> None:
    """A server that reaches its memory limit is ended by the kernel alone, and is started again where it was."""
    fault = OutOfMemory(victim, victim.processes()[0])
    anew = run_anew(victim.pod.name, victim.pod.restarts, victim.out_of)
    course = arena.run(fault, {victim.pod.name}, Expected(anew, pace.replaced))
    assert restarted_pods(course.before, course.last) == {victim.pod.name}
    course.require_loss_below(arena.rate * FILLING_S / victim.out_of)
    evidence(course.told())
