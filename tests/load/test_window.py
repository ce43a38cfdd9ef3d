"""What a window of load is judged by."""

import pytest

from shakedown.verdict import Failed, Inconclusive
from shakedown.window import Request, Window


def request(at: float, *, late: float = 0.0, seconds: float = 0.01, code: int = 200, version: int = 2) -> Request:
    return Request(at, at + late, seconds, code, version, right=version > 0, said="" if code == 200 else "refused")


def window(*requests: Request, cpu: float = 0.2) -> Window:
    return Window("steady", 0.0, 10.0, requests, cpu)


GOOD = [request(turn / 10) for turn in range(100)]


def test_latency_is_counted_from_when_a_request_was_due() -> None:
    assert window(request(1.0, late=2.0, seconds=0.5)).quantile(0.5) == pytest.approx(2.5)


def test_one_failure_fails_with_its_words() -> None:
    with pytest.raises(Failed, match=r"1 of 101 predictions failed \(steady\), the first 5\.0 s .* 503 refused"):
        window(*GOOD, request(5.0, code=503, version=0)).assert_none_failed()


def test_wrong_answers_and_unexpected_versions_fail() -> None:
    with pytest.raises(Failed, match=r"1 of 101 predictions were wrong; .*\{0: 1\}"):
        window(*GOOD, request(5.0, version=0)).assert_none_wrong()
    with pytest.raises(Failed, match=r"\{1: 1\}"):
        window(*GOOD, request(5.0, version=1)).assert_none_wrong({2})


def test_nothing_sent_proves_nothing() -> None:
    for judge in (window().assert_none_failed, window().assert_none_wrong, window().assert_kept_up):
        with pytest.raises(Inconclusive, match="only 0 requests were due"):
            judge()
    with pytest.raises(Inconclusive, match="no request was due"):
        window().quantile(0.5)


def test_slow_answers_fail_the_objective() -> None:
    with pytest.raises(Failed, match=r"took up to .* the objective is 0\.25 s"):
        window(*GOOD, *(request(9.0, seconds=1.0) for _ in range(10))).assert_within(0.25)
    window(*GOOD).assert_within(0.25)


def test_a_generator_that_was_the_bottleneck_judges_nothing() -> None:
    late = [request(turn / 10, late=0.5) for turn in range(100)]
    with pytest.raises(Inconclusive, match="the generator was the bottleneck"):
        window(*late).assert_within(0.25)
    with pytest.raises(Inconclusive, match="97% of its core"):
        window(*GOOD, cpu=0.97).assert_within(0.25)
