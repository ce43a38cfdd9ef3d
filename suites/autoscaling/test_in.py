"""Load leaves: servers go after the stabilisation window, one by one, and nobody notices."""

from itertools import pairwise

import pytest

from fixtures.tide import Tide
from fixtures.verdicts import Evidence
from shakedown.scaling_stages import turns
from shakedown.verdict import Inconclusive

pytestmark = pytest.mark.test_bed


def test_servers_go_once_their_load_has_been_gone_for_the_stabilisation_window(tide: Tide, evidence: Evidence) -> None:
    """A lull shorter than the window takes no server; after it they go, and all are gone in time."""
    scaler, within = tide.scaling.scaler, tide.scaling.in_within
    down = next(at for at, size in tide.wanted(tide.at.left, tide.at.end) if size < scaler.most)
    waited, took = down - tide.at.left, tide.at.ebbed - tide.at.left
    least = scaler.down_window - tide.scaling.pace.sync
    assert waited >= least, f"a server had to go {waited:.1f} s after the load, the window is {scaler.down_window:g} s"
    assert took <= within, f"servers outlived their load by {took:.0f} s, by their policy they may by {within:.0f} s"
    evidence(f"first one told to go after {waited:.1f} s, at the least size after {took:.1f} s")


def test_size_goes_up_and_down_once_and_never_below_the_least(tide: Tide, evidence: Evidence) -> None:
    """One load is one way out and one way back: the size does not flap."""
    scaler = tide.scaling.scaler
    wanted = [size for _, size in tide.wanted(tide.at.came, tide.at.end)]
    assert turns(wanted) == 1, f"the size went {wanted}: more than once up and down"
    assert min(wanted) == scaler.least == wanted[-1], f"the size went {wanted}, minReplicas is {scaler.least}"
    ready = min(each.fields["ready"] for each in tide.states("pods", tide.at.came, tide.at.end))
    assert ready >= scaler.least, f"only {ready} servers were ready, minReplicas is {scaler.least}"
    evidence(f"wanted one after another: {wanted}; never fewer than {ready} ready")


def test_servers_go_no_faster_than_the_policy_allows(tide: Tide, evidence: Evidence) -> None:
    """Each step down takes no more servers than its policy allows, and no sooner than its period.

    A size changes only when the autoscaler looks, once in each sync period: a step too early is early by one or more.
    """
    scaler = tide.scaling.scaler
    steps = tide.wanted(tide.at.left, tide.at.end)
    sizes, moments = [size for _, size in steps], [at for at, _ in steps[1:]]
    down = [a - b for a, b in pairwise(sizes)]
    assert max(down) <= scaler.down_pods, f"the size went {sizes}, {scaler.down_pods} may go at once"
    gaps = [b - a for a, b in pairwise(moments)]
    if not gaps:
        raise Inconclusive(f"the size went {sizes}: one step, and the time between two is judged")
    told = ", ".join(f"{gap:.1f}" for gap in gaps)
    least = scaler.down_period - tide.scaling.pace.sync / 2
    assert min(gaps) >= least, f"steps {told} s apart, scaleDown's policy has a period of {scaler.down_period:g} s"
    evidence(f"{sizes}, steps {told} s apart")


def test_servers_that_go_take_no_prediction_with_them(tide: Tide, evidence: Evidence) -> None:
    """Users who go on while servers are taken away get every answer: connections are drained."""
    went = {e.fields["name"] for e in tide.seen("pod", tide.at.left, tide.at.end) if e.fields["ending"]}
    scaler = tide.scaling.scaler
    assert len(went) == scaler.most - scaler.least, f"{sorted(went)} went, from {scaler.most} to {scaler.least}"
    (users,) = tide.judge(tide.at.left, tide.at.end)
    evidence(f"{len(went)} servers went; {users}")


def test_every_second_until_a_server_is_gone_is_accounted_for(tide: Tide, evidence: Evidence) -> None:
    """From the load's end to the end of the first server that is too many, each stage keeps to what it is set to."""
    tide.back.record(tide.ledger)
    tide.back.assert_in_time()
    evidence(str(tide.back))
