"""What a steady flow of predictions is judged by."""

import pytest

from shakedown.steady import Flow, Sent
from shakedown.verdict import Failed, Inconclusive


def flow_of(*sent: Sent) -> Flow:
    flow = Flow(rate=10)
    flow.sent += sent
    return flow


GOOD = Sent(at=1.0, seconds=0.01, code=200, version=2, said="")
LOST = Sent(at=2.0, seconds=10.0, code=0, version=0, said="ConnectionError: refused")
WRONG = Sent(at=3.0, seconds=0.01, code=200, version=0, said="")


def test_right_answers_are_counted_in_words() -> None:
    told = flow_of(GOOD, GOOD).judge({2}, least=2)
    assert told == "2 predictions, none failed, none wrong (by version {2: 2}), slowest 0.01 s"


def test_one_failed_prediction_fails_the_flow_with_its_words() -> None:
    with pytest.raises(Failed, match="1 of 3 predictions failed, the first:  ConnectionError: refused"):
        flow_of(GOOD, LOST, GOOD).judge({2}, least=1)


def test_an_answer_of_no_version_or_of_another_is_wrong() -> None:
    with pytest.raises(Failed, match="1 of 2 predictions were wrong"):
        flow_of(GOOD, WRONG).judge({2}, least=1)
    with pytest.raises(Failed, match=r"by version \(0: nobody's\): \{2: 1\}"):
        flow_of(GOOD).judge({1}, least=1)


def test_too_few_predictions_prove_nothing() -> None:
    with pytest.raises(Inconclusive, match="only 0 predictions were sent, 50 are needed"):
        flow_of().judge({2}, least=50)
