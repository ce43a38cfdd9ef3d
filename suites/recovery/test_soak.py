"""Disturbances in an order that nobody thought of: `--soak 10m --seed N`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fixtures.faults import Arena, Course, Expected
from fixtures.verdicts import Evidence
from shakedown.api_paths import deployment_path
from shakedown.cluster import Cluster
from shakedown.faults.inject import Fault, Together
from shakedown.faults.pods import ContainerKilled, PodDeleted, Victim
from shakedown.faults.workloads import ProcessKilled, process_named, rolled_out_with, scaled_to_nothing
from shakedown.ledger import now
from shakedown.manifests import Stack, lateness_of_rollout
from shakedown.pace import Pace
from shakedown.recovery import Snapshot, rid_of, run_anew
from shakedown.serving import pods, selector_of
from shakedown.settings import Deployment
from shakedown.soak import Turn, drawn, smallest
from shakedown.verdict import Failed, Inconclusive

pytestmark = [pytest.mark.test_bed, pytest.mark.timeout(7200)]
MOVES = ("delete", "delete-at-once", "kill", "dns", "api-server", "roll-out")
RATES = (20.0, 50.0, 80.0)
IN_FLIGHT = 5  # predictions that one server may have in hand when it dies
MOST_TURNS = 500
TRIES = 6  # to make a failing sequence shorter


@dataclass(frozen=True)
class Move:
    """One disturbance of a soak: whom it takes, what must follow, and how many predictions it may cost."""

    fault: Fault
    victims: frozenset[str]
    lacking: Callable[[Snapshot], str]
    bound: int


def marked(template: dict[str, Any]) -> None:
    """Another revision of the same thing."""
    template["metadata"].setdefault("annotations", {})["shakedown.dev/revision"] = "soaked"


@dataclass(frozen=True)
class Soak:
    """Where the turns of a soak are taken."""

    arena: Arena
    cluster: Cluster
    place: tuple[str, str]
    workload: str
    within: float

    def turn(self, turn: Turn) -> Course:
        """Take one turn; each of its moves hits a server of its own. Raises Failed where a promise breaks."""
        # each run of a container makes the kubelet wait longer before the next, so those with fewest come first
        servers = sorted(pods(self.cluster, *self.place), key=lambda pod: (pod.restarts, pod.name))
        hit = [Victim(self.cluster, self.place[0], server, len(servers)) for server in servers]
        names = sorted(turn.moves, key=lambda name: name == "api-server")  # last: without it no other can be ordered
        moves = [self.move(name, victim) for name, victim in zip(names, hit, strict=False)]

        def lacking(seen: Snapshot) -> str:
            return "; ".join(filter(None, (move.lacking(seen) for move in moves)))

        fault, victims = Together(tuple(move.fault for move in moves)), {v for move in moves for v in move.victims}
        course = replace(self.arena, rate=turn.rate).run(fault, victims, Expected(lacking, self.within))
        course.require_loss_below(sum(move.bound for move in moves))
        return course

    def move(self, name: str, victim: Victim) -> Move:
        """The disturbance of that name."""
        pod, count = victim.pod, victim.out_of
        gone = rid_of([pod.name], count)
        if name == "delete":
            return Move(PodDeleted(victim), frozenset({pod.name}), gone, 0)
        if name == "delete-at-once":
            return Move(PodDeleted(victim, grace=0), frozenset({pod.name}), gone, IN_FLIGHT)
        if name == "kill":
            anew = run_anew(pod.name, pod.restarts, count)

            def ended(seen: Snapshot) -> str:
                """It runs anew, unless a roll-out has taken it altogether."""
                return anew(seen) and gone(seen)

            return Move(ContainerKilled(victim, victim.processes()), frozenset({pod.name}), ended, IN_FLIGHT)
        if name == "roll-out":
            return Move(self.roll_out(), frozenset(), self.rolled_out, 0)
        if name == "dns":
            return Move(scaled_to_nothing(self.cluster, "kube-system", "coredns"), frozenset(), lambda _: "", 0)
        node = next(node.name for node in self.cluster.nodes() if node.control_plane)
        process = process_named(self.cluster, node, "kube-apiserver")[0]
        killed = ProcessKilled(self.cluster, node, "kube-apiserver", process)
        return Move(killed, frozenset(), lambda _: self.cluster.silence(), 0)

    def roll_out(self) -> Fault:
        """Another revision of the same servers, which the undoing takes back."""
        return rolled_out_with(self.cluster, self.place[0], self.workload, marked)

    def rolled_out(self, _: Snapshot) -> str:
        """The Deployment's latest template is out, and nothing of an older one is left."""
        return lateness_of_rollout(
            "Deployment", self.workload, self.cluster.get(deployment_path(self.place[0], self.workload))
        )

    def fails(self, turns: Sequence[Turn]) -> bool:
        """Whether a promise breaks in this sequence too; not, where the last failure has left nothing to judge."""
        try:
            for turn in turns:
                self.turn(turn)
        except Failed:
            return True
        except Exception:  # noqa: BLE001 - whatever it is, the failure that is made smaller must be told
            return False
        return False


def test_soak_keeps_every_promise(
    arena: Arena,
    cluster: Cluster,
    stack: Stack,
    deployment: Deployment,
    pace: Pace,
    soak: tuple[float, int],
    evidence: Evidence,
) -> None:
    """Whatever comes at once and in whatever order: no wrong answer, bounded loss, and all is whole again in time."""
    seconds, seed = soak
    place = deployment.namespace, selector_of(stack.find("Deployment", deployment.workload))
    within = max(pace.restarted, len(pods(cluster, *place)) * pace.drained)  # a roll-out goes server by server
    bath = Soak(arena, cluster, place, deployment.workload, within)
    taken, lost, sent, began = list[Turn](), 0, 0, now()
    for turn in drawn(seed, MOVES, RATES, MOST_TURNS):
        if now() - began > seconds:
            break
        taken.append(turn)
        try:
            course = bath.turn(turn)
        except Failed as broken:
            told = "; ".join(str(each) for each in smallest(taken, bath.fails, TRIES))
            raise Failed(
                f"seed {seed}, turn {len(taken)} ({turn}): {broken}; the smallest that fails: {told}"
            ) from broken
        lost, sent = lost + course.traffic.failed, sent + course.traffic.sent
    if not taken:
        raise Inconclusive(f"--soak {seconds:g} left no time for a single turn")
    evidence(
        f"seed {seed}: {len(taken)} turns in {now() - began:.0f} s, {lost} of {sent} predictions failed, none wrong: "
        + "; ".join(str(turn) for turn in taken)
    )
