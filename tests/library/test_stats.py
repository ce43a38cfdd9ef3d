"""The statistics keep the error rates that they declare."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from shakedown.stats import (
    binomial_interval,
    mcnemar_p_value,
    one_sided_bound,
    plan_binomial,
    plan_mcnemar,
    shares_p_value,
)
from shakedown.verdict import Inconclusive

PROBABILITIES = st.floats(0.001, 0.999)
ALPHAS = st.sampled_from([0.05, 0.01, 1e-4])
REPEATS = 1000
sums = settings(deadline=None, max_examples=25)  # each example sums over every possible outcome


@sums
@given(samples=st.integers(1, 100), p=PROBABILITIES, alpha=ALPHAS)
def test_the_interval_misses_the_truth_at_most_as_often_as_declared(samples: int, p: float, alpha: float) -> None:
    missed = sum(
        reference.binom.pmf(hits, samples, p)
        for hits in range(samples + 1)
        if p not in binomial_interval(hits, samples, alpha)
    )
    assert missed <= alpha + 1e-12


@given(hits=st.integers(0, 1000), more=st.integers(0, 1000), alpha=ALPHAS)
def test_the_interval_holds_what_was_seen_and_mirrors(hits: int, more: int, alpha: float) -> None:
    samples = hits + more
    assume(samples > 0)
    found, mirrored = binomial_interval(hits, samples, alpha), binomial_interval(more, samples, alpha)
    assert hits / samples in found
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)


def test_no_loss_in_so_many_bounds_the_loss_by_the_rule_of_three() -> None:
    assert one_sided_bound(0, 3000, 0.05) == pytest.approx(0.001, rel=0.01)


def test_an_interval_over_nothing_is_refused() -> None:
    with pytest.raises(Inconclusive, match="nothing was sampled"):
        binomial_interval(0, 0, 0.05)


@settings(deadline=None)
@given(p0=st.floats(0.01, 0.9), gap=st.floats(0.05, 0.5), alpha=ALPHAS, beta=ALPHAS)
def test_a_plan_keeps_both_error_rates_and_one_sample_less_does_not(
    p0: float, gap: float, alpha: float, beta: float
) -> None:
    p1 = p0 + gap
    assume(p1 < 0.99)
    plan = plan_binomial(p0, p1, alpha, beta)
    assert reference.binom.sf(plan.critical - 1, plan.samples, p0) <= alpha
    assert reference.binom.sf(plan.critical - 1, plan.samples, p1) >= 1 - beta
    fewer = plan.samples - 1
    critical = reference.binom.isf(alpha, fewer, p0) + 1
    assert reference.binom.sf(critical - 1, fewer, p1) < 1 - beta


@settings(deadline=None)
@given(p0=st.floats(0.1, 0.95), gap=st.floats(0.05, 0.5), alpha=ALPHAS)
def test_a_plan_for_a_fall_keeps_both_error_rates(p0: float, gap: float, alpha: float) -> None:
    p1 = p0 - gap
    assume(p1 > 0.01)
    plan = plan_binomial(p0, p1, alpha, 0.05)
    assert reference.binom.cdf(plan.critical, plan.samples, p0) <= alpha + 1e-12
    assert reference.binom.cdf(plan.critical, plan.samples, p1) >= 0.95 - 1e-9


def test_a_plan_for_no_difference_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be told apart"):
        plan_binomial(0.1, 0.1, 0.05, 0.05)


@sums
@given(n=st.integers(10, 100), share=st.floats(0.1, 0.9), alpha=ALPHAS)
def test_two_shares_are_refused_at_most_as_often_as_declared(n: int, share: float, alpha: float) -> None:
    assume(n * min(share, 1 - share) >= 5)
    refused = sum(
        reference.binom.pmf(first, n, share)
        for first in range(n + 1)
        if shares_p_value([first, n - first], [share, 1 - share]) < alpha
    )
    assert refused <= alpha + 1e-12


@given(counts=st.lists(st.integers(20, 60), min_size=3, max_size=6), factor=st.integers(2, 5))
def test_shares_don_t_depend_on_order_or_on_the_scale_of_weights(counts: list[int], factor: int) -> None:
    alike = shares_p_value(counts)
    assert shares_p_value(counts[::-1], [factor] * len(counts)) == pytest.approx(alike)
    assert 0 <= alike <= 1


def test_a_server_that_gets_nothing_is_noticed_and_even_shares_are_not() -> None:
    assert shares_p_value([100, 100, 0]) < 1e-9
    assert shares_p_value([100, 101, 99]) > 0.9


def test_too_few_samples_for_shares_say_how_many_would_do() -> None:
    with pytest.raises(Inconclusive, match="4 samples say nothing about 3 shares, 15 are needed"):
        shares_p_value([4, 0, 0])
    with pytest.raises(ValueError, match="nothing to share"):
        shares_p_value([10])


@given(first=st.integers(0, 200), second=st.integers(0, 200))
def test_mcnemar_is_symmetric_and_exact(first: int, second: int) -> None:
    found = mcnemar_p_value(first, second)
    assert found == pytest.approx(mcnemar_p_value(second, first))
    tail = 2 * reference.binom.cdf(min(first, second), first + second, 0.5)
    assert found == pytest.approx(min(1.0, tail))


@pytest.mark.parametrize(("lost", "won"), [(0.02, 0.0), (0.04, 0.02), (0.0, 0.05)])
def test_mcnemar_finds_a_difference_as_often_as_its_plan_says(lost: float, won: float) -> None:
    pairs, draw, found = plan_mcnemar(lost, won, 0.05, 0.1), np.random.default_rng(1), 0
    for _ in range(REPEATS):
        first, second, _ = draw.multinomial(pairs, [lost, won, 1 - lost - won])
        found += mcnemar_p_value(int(first), int(second)) <= 0.05
    assert found / REPEATS in binomial_interval(round(0.9 * REPEATS), REPEATS, 1e-3) or found >= 0.9 * REPEATS
    assert found / REPEATS < 0.97, "fewer pairs would have done"


def test_there_is_no_plan_to_tell_equals_apart() -> None:
    with pytest.raises(ValueError, match="equally good"):
        plan_mcnemar(0.02, 0.02, 0.05, 0.05)


def test_a_difference_that_needs_too_many_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be told apart"):
        plan_mcnemar(0.2, 0.19999, 0.05, 0.05)
