"""Bad canaries are turned back while few users have met them, and a good one gets through."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from fixtures.canary import SETTLED_S, Canary, Defect, another_release, down, slow
from fixtures.verdicts import Evidence
from models.canary import ERRING, GOOD, PERMUTED, STABLE, WORSE
from shakedown.canary import STEPS, promote
from shakedown.ledger import now
from shakedown.load import Traffic
from shakedown.replay import BATCH
from shakedown.sequential import Finding
from shakedown.stats import binomial_interval, mcnemar_p_value, plan_mcnemar
from shakedown.window import Window

pytestmark = pytest.mark.test_bed
ALPHA, BETA = 0.05 / len(STEPS), 0.01  # a good canary is judged at each step, and must get through all of them
CHANCE = 1e-3  # that chance alone gives the canary more users than its share
BEFORE_S = AFTER_S = 1.5  # of users' load around the verdict, in which nobody may meet the canary
DEFECTS: dict[str, Defect] = {
    "down": down,
    "permuted-labels": partial(another_release, version=PERMUTED),
    "two-points-less-accurate": partial(another_release, version=WORSE),
    "refuses-two-in-a-hundred": partial(another_release, version=ERRING),
    "slow": slow,
}


def met(window: Window) -> int:
    """How many users were not answered as the stable version answers."""
    return sum(each.code != 200 or each.version != STABLE for each in window.requests)


def require_stable(window: Window) -> None:
    """Every user got the stable version's answer."""
    window.assert_none_failed()
    window.assert_none_wrong({STABLE})


@pytest.fixture(scope="module")
def users(canary_up: Canary) -> Iterator[Traffic]:
    """One flow of users for all verdicts: a generator takes seconds to start."""
    with canary_up.users() as traffic:
        yield traffic


@pytest.mark.parametrize("defect", DEFECTS)
def test_bad_canary_is_turned_back_at_its_first_step(
    canary: Canary, users: Traffic, defect: str, evidence: Evidence
) -> None:
    """It gets one user in a hundred, is found bad by testers' requests, and then gets nobody any more."""
    with DEFECTS[defect](canary):
        require_stable(users.collect(BEFORE_S))
        began = now()
        ended = promote(canary.shift, lambda share: canary.judge(share, ALPHA, BETA))
        judged = now()
        during = users.window(began, users.collect(SETTLED_S).end)
        require_stable(users.collect(AFTER_S))
    assert (ended.finding, ended.share) == (Finding.BAD, STEPS[0]), (
        f"{ended.finding} at {ended.share} %: {ended.reason}"
    )
    share = binomial_interval(met(during), during.sent, CHANCE)
    assert share.low <= STEPS[0] / 100, f"{share} of the users met it, {STEPS[0]} % may"
    evidence(
        f"{defect}: turned back after {judged - began:.1f} s; {met(during)} of {during.sent} users met it ({share});"
        f" error rates {ALPHA:g} and {BETA:g}: {ended.reason}"
    )


def test_good_canary_is_promoted_to_all_users_and_back_without_a_failed_or_wrong_answer(
    canary: Canary, users: Traffic, evidence: Evidence
) -> None:
    """1, 10, 50, 100 per cent, each after a verdict; then the way back at once; no user loses an answer meanwhile."""
    began = now()
    ended = promote(canary.shift, lambda share: canary.judge(share, ALPHA, BETA))
    took = now() - began
    users.collect(SETTLED_S)
    final = users.collect(AFTER_S)
    canary.shift(0)
    users.collect(SETTLED_S)
    back = users.collect(AFTER_S)
    whole = users.window(began, back.end)
    assert ended.finding is Finding.GOOD, f"{ended.finding} at {ended.share} %: {ended.reason}"
    whole.assert_none_failed()
    whole.assert_none_wrong({STABLE, GOOD})
    assert set(final.by_version()) == {GOOD}, f"at 100 % users are answered by versions {final.by_version()}"
    require_stable(back)
    evidence(f"steps {STEPS} in {took:.0f} s; error rates {ALPHA:g} and {BETA:g}; {whole}; at last {ended.reason}")


def test_two_points_less_accuracy_show_in_the_sample_that_was_computed(canary: Canary, evidence: Evidence) -> None:
    """The same inputs to both versions, as many as McNemar's test needs for two points, tell a worse canary."""
    recording, pairs = canary.replay.recording, plan_mcnemar(0.02, 0.0, 0.05, 0.05)
    chosen = np.random.default_rng(1).permutation(len(recording.images))[:pairs]
    usual = recording.stable[chosen].argmax(axis=1) == recording.labels[chosen]

    def lost_and_won() -> tuple[int, int]:
        parts = [chosen[at : at + BATCH] for at in range(0, pairs, BATCH)]
        found = [canary.testers.predict_rest(canary.names.model, recording.images[rows]) for rows in parts]
        right = np.concatenate(found).argmax(axis=1) == recording.labels[chosen]
        return int((usual & ~right).sum()), int((right & ~usual).sum())

    good = lost_and_won()
    with another_release(canary, WORSE):
        worse = lost_and_won()
    assert mcnemar_p_value(*good) > 0.05, f"the good canary lost {good[0]} and won {good[1]} of {pairs}"
    assert mcnemar_p_value(*worse) < 0.05, f"the worse canary lost {worse[0]} and won {worse[1]} of {pairs}"
    evidence(
        f"{pairs} pairs: lost and won {good} by the good one, {worse} by the worse: p {mcnemar_p_value(*worse):.1g}"
    )
