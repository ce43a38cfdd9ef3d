"""Load comes: the servers follow, as many as the formula says, and users don't notice."""

import pytest

from fixtures.tide import Tide
from fixtures.verdicts import Evidence
from shakedown.settings import Objectives
from shakedown.stats import shares_p_value

pytestmark = pytest.mark.test_bed
ALPHA = 0.001  # how often servers that do take equal shares are called unequal


def test_servers_follow_the_request_rate_while_their_cpu_is_idle(tide: Tide, evidence: Evidence) -> None:
    """Requests that hardly cost anything bring more servers, before any CPU could."""
    scaler = tide.scaling.scaler
    seen = tide.seen("hpa", tide.at.came, tide.at.rose)
    decided = next(each for each in seen if each.fields["desired"] > scaler.least)
    cpu = decided.fields["metrics"].get("cpu")
    assert cpu is not None, "the autoscaler read no CPU when it decided, so nothing is known of the reason"
    by_cpu = scaler.proposal(scaler.least, float(cpu) * scaler.least, scaler.cpu)
    assert by_cpu == scaler.least, f"CPU at {cpu} % of its request asked for {by_cpu} itself: the load was too heavy"
    took = decided.at - tide.at.came
    evidence(f"{decided.fields['desired']} wanted {took:.1f} s after the load came, CPU at {cpu} % of {scaler.cpu:g} %")


def test_servers_are_as_many_as_the_formula_says(tide: Tide, evidence: Evidence) -> None:
    """The size is what Kubernetes' formula gives for the load that was sent, and stays so while the load does."""
    scaler = tide.scaling.scaler
    sent = sum(window.rate for window in tide.kept_up(tide.at.rose, tide.at.peak))
    asked = scaler.proposal(scaler.least, sent, scaler.rate)
    assert tide.size == asked, f"{tide.size} servers for {sent:.1f}/s, the formula says {asked}"
    held = [size for _, size in tide.wanted(tide.at.rose, tide.at.peak)]
    assert held == [asked], f"the autoscaler wanted {held} one after another while the load stayed the same"
    evidence(f"{sent:.1f}/s sent, {scaler.rate:g}/s a server: {asked}, held for {tide.at.peak - tide.at.rose:.0f} s")


def test_new_servers_take_their_share(tide: Tide, evidence: Evidence) -> None:
    """Each server, old or new, answers as many predictions as any other."""
    answered = tide.answered(tide.at.rose, tide.at.peak)
    assert len(tide.new) == tide.size - tide.scaling.scaler.least, f"new are {sorted(tide.new)}"
    counts, seconds = zip(*answered.values(), strict=True)
    likely = shares_p_value([round(each) for each in counts], seconds)
    rates = ", ".join(
        f"{name}{' (new)' if name in tide.new else ''} {count / span:.1f}/s" for name, (count, span) in answered.items()
    )
    assert likely > ALPHA, f"the shares are not equal (p = {likely:.2g}): {rates}"
    evidence(f"{rates}; p = {likely:.2g}")


def test_users_get_every_answer_in_time_while_servers_are_added(
    tide: Tide, objectives: Objectives, evidence: Evidence
) -> None:
    """From the first request until the new servers answer, nothing fails, nothing is wrong, nobody waits for long."""
    windows = tide.judge(tide.at.calm, tide.at.rose)
    for window in windows:
        window.assert_within(objectives.crowded)
    evidence("; ".join(map(str, windows)))


def test_users_get_every_answer_in_time_once_servers_are_added(
    tide: Tide, objectives: Objectives, evidence: Evidence
) -> None:
    """With as many servers as the load needs, it is answered as fast as ever."""
    windows = tide.judge(tide.at.rose, tide.at.peak)
    for window in windows:
        window.assert_within(objectives.latency_p99)
    evidence("; ".join(map(str, windows)))


def test_every_second_until_a_new_server_answers_is_accounted_for(tide: Tide, evidence: Evidence) -> None:
    """From the load's start to a new server's first answer, each stage takes no longer than it is set to."""
    tide.out.record(tide.ledger)
    tide.out.assert_in_time()
    evidence(str(tide.out))
