"""A leak is a line that reaches the limit, and not a step, a repetition or a plateau."""

import pytest

from shakedown.memory import growth
from shakedown.sequential import Finding

LIMIT, HORIZON_S = 1000.0, 900.0


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ([500, 510, 520, 530, 540], Finding.BAD),  # 1 a second
        ([500, 501, 502, 501, 503], Finding.GOOD),
        ([900, 890, 880, 870, 860], Finding.GOOD),
        ([500, 500, 520, 520, 540, 540], Finding.BAD),  # the same, looked at less often than it is scraped
        ([500, 510, 520], Finding.UNCLEAR),
        ([500], Finding.UNCLEAR),
        ([], Finding.UNCLEAR),
        ([990, 991, 990, 991, 990], Finding.GOOD),  # full, which has an alert of its own; it doesn't grow
    ],
)
def test_only_growth_that_reaches_the_limit_in_time_is_a_leak(values: list[float], finding: Finding) -> None:
    points = [(10.0 * place, value) for place, value in enumerate(values)]
    assert growth(points, LIMIT).finding(HORIZON_S) is finding


def test_growth_is_told_in_shares_of_the_limit() -> None:
    assert str(growth([(0, 500), (10, 510), (20, 520), (30, 530)], LIMIT)) == (
        "53% of the limit, +6.00% of it a minute, over 30 s"
    )
