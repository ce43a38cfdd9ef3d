"""Promotions of recorded traffic: bad canaries get through, and good ones are turned back, as seldom as declared.

recorded/ holds the answers of real canaries to each of the 2,400 held-out images (600 for the slow one), sent through
the gateway of a cluster beside 50 users a second, on 2 cores; the canaries are those of docs/canary.md.
"""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from shakedown.canary import STEPS, Analysis, Ended, analyse, promote
from shakedown.replay import Answer
from shakedown.sequential import Finding
from shakedown.settings import Objectives
from shakedown.stats import one_sided_bound

RECORDED = Path(__file__).parent / "recorded"
REPLAYS, MOST, ALPHA, BETA = 300, 4800, 0.05, 0.05  # as many answers a step as testers send in a minute
BAD = ("permuted-labels", "two-points-less-accurate", "refuses-two-in-a-hundred", "slow")


@cache
def recorded(kind: str) -> tuple[Answer, ...]:
    with (RECORDED / f"{kind}.csv").open(newline="") as file:
        return tuple(
            Answer(failed=True, seconds=float(row["seconds"]))
            if row["failed"] == "1"
            else Answer(
                failed=False,
                seconds=float(row["seconds"]),
                right=row["right"] == "1",
                stable_right=row["stable_right"] == "1",
                drift=float(row["drift"]),
            )
            for row in csv.DictReader(file)
        )


def promoted(kind: str, seed: int) -> tuple[Ended, list[int], int]:
    """One promotion: how it ended, the shares that were set, and the answers that all its verdicts took."""
    draw, known, shares, taken = np.random.default_rng(seed), recorded(kind), list[int](), 0

    def judge(_: int) -> Analysis:
        nonlocal taken
        answers = (known[place] for place in draw.integers(len(known), size=MOST).tolist())
        done = analyse(answers, Analysis(Objectives().latency_p99, ALPHA / len(STEPS), BETA), within=3600)
        taken += done.samples
        return done

    return promote(shares.append, judge), shares, taken


@pytest.mark.parametrize("kind", BAD)
def test_over_300_replays_a_bad_canary_is_let_through_a_step_no_more_often_than_declared(kind: str) -> None:
    ends = [promoted(kind, seed) for seed in range(REPLAYS)]
    through = sum(ended.share > STEPS[0] for ended, _, _ in ends)
    everybody = sum(ended.finding is Finding.GOOD for ended, _, _ in ends)
    bound = one_sided_bound(through, REPLAYS, 0.05)
    taken = np.quantile([taken for _, _, taken in ends], [0.5, 0.95])
    print(f"{kind}: {through} of {REPLAYS} past 1 %, {everybody} to all users, bound {bound:.2%}, answers {taken}")
    assert bound <= BETA
    assert everybody == 0
    assert all(shares[-1] == 0 for _, shares, _ in ends), "somebody was left with a bad canary"


def test_over_300_replays_a_good_canary_is_turned_back_no_more_often_than_declared() -> None:
    ends = [promoted("good", seed) for seed in range(REPLAYS)]
    back = sum(ended.finding is not Finding.GOOD for ended, _, _ in ends)
    bound = one_sided_bound(back, REPLAYS, 0.05)
    print(f"good: {back} of {REPLAYS} turned back, bound {bound:.2%}, answers {np.median([t for _, _, t in ends])}")
    assert bound <= ALPHA
    assert all(tuple(shares) == STEPS for ended, shares, _ in ends if ended.finding is Finding.GOOD)


def test_the_recorded_canaries_are_what_they_are_called() -> None:
    """Two points less accurate are exactly that, and two in a hundred refused; else the study says nothing."""
    lost = {
        kind: [one.stable_right is True and one.right is False for one in recorded(kind)] for kind in ("good", BAD[1])
    }
    assert (sum(lost["good"]), sum(lost[BAD[1]]) / len(lost[BAD[1]])) == (0, 0.02)
    assert sum(one.failed for one in recorded(BAD[2])) / 2400 == 0.02
    assert np.mean([one.seconds > Objectives().latency_p99 for one in recorded("slow")]) > 0.3
