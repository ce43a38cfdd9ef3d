"""Shapes say exactly when each request is due."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.shapes import Shape, lasting, ramp, sine, spike, steady, step

LINES = st.lists(st.tuples(st.floats(0.1, 20), st.floats(0, 50)), min_size=2, max_size=8)


def test_a_steady_rate_is_evenly_spaced() -> None:
    due = steady(20, seconds=3).arrivals()
    assert len(due) == 60
    assert np.diff(due) == pytest.approx(np.full(59, 0.05))
    assert due[0] == pytest.approx(0.025)


@pytest.mark.parametrize("rate", [0.5, 277.5, 278.0, 299.3, 1760.0, 3333.3])
def test_a_lasting_load_keeps_to_what_a_load_may_be(rate: float) -> None:
    shape = lasting(rate)
    assert shape.seconds == pytest.approx(min(3600, 1_000_000 / rate), rel=1e-5)
    assert shape.highest == rate


def test_a_spike_lies_where_it_was_put() -> None:
    due = spike(10, 100, before=5, seconds=2, after=5).arrivals()
    counted = [int(np.count_nonzero((low <= due) & (due < high))) for low, high in ((0, 5), (5, 7), (7, 12))]
    assert counted == [50, 200, 50]


def test_steps_follow_one_another() -> None:
    due = step([10, 0, 30], seconds=2).arrivals()
    assert np.histogram(due, bins=[0, 2, 4, 6])[0].tolist() == [20, 0, 60]


def test_a_ramp_grows_and_then_holds() -> None:
    due = ramp(0, 40, seconds=4, hold=2).arrivals()
    assert np.histogram(due, bins=[0, 2, 4, 6])[0].tolist() == [20, 60, 80]


def test_a_wave_begins_low_and_peaks_after_half_a_period() -> None:
    due = sine(0, 100, period=10, seconds=20).arrivals()
    counted = np.histogram(due, bins=np.arange(0, 21, 2.5))[0]
    assert len(due) == pytest.approx(1000, rel=0.01)
    assert counted[0] == pytest.approx(counted[3], abs=2)
    assert counted[1] > 3 * counted[0]


@given(lines=LINES)
def test_any_shape_has_as_many_arrivals_in_order_as_its_area(lines: list[tuple[float, float]]) -> None:
    moments = np.cumsum([0.0, *(span for span, _ in lines[1:])])
    shape = Shape("any", tuple(zip(moments.tolist(), (rate for _, rate in lines), strict=True)))
    due = shape.arrivals()
    area = np.trapezoid([rate for _, rate in lines], moments)
    assert abs(len(due) - area) <= 1
    assert np.all(np.diff(due) > 0)
    assert np.all((due >= 0) & (due <= shape.seconds))


def test_unbounded_or_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="bounded"):
        steady(10, seconds=7200)
    with pytest.raises(ValueError, match="bounded"):
        steady(1000, seconds=3600)
    with pytest.raises(ValueError, match="below 0"):
        steady(-1, seconds=1)
    with pytest.raises(ValueError, match="from 0 to its end"):
        Shape("late", ((1.0, 1.0), (2.0, 1.0)))
