import pytest

from shakedown.verdict import Outcome, exit_code

PASSED, FAILED, INCONCLUSIVE, NOT_PROVEN = Outcome


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([PASSED], 0),
        ([PASSED, NOT_PROVEN], 0),
        ([PASSED, INCONCLUSIVE], 6),
        ([PASSED, INCONCLUSIVE, FAILED], 1),
        ([], 6),
        ([NOT_PROVEN, NOT_PROVEN], 6),
    ],
)
def test_only_what_was_proven_is_green(outcomes: list[Outcome], code: int) -> None:
    assert exit_code(outcomes) == code
