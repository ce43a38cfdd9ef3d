from collections.abc import Mapping

import pytest

from models import lite

MIN_AGREEMENT = 0.98
MAX_LOSS = 0.01  # one point


@pytest.fixture(scope="module")
def judgements() -> Mapping[str, lite.Judgement]:
    return lite.judgements()


def holds(found: lite.Judgement) -> bool:
    return found.agreement >= MIN_AGREEMENT and found.accuracy_loss <= MAX_LOSS


@pytest.mark.parametrize("name", ["float.tflite", "int8.tflite"])
def test_a_converted_model_answers_as_the_saved_model_does(judgements: Mapping[str, lite.Judgement], name: str) -> None:
    assert holds(judgements[name]), judgements[name]


def test_full_int8_is_less_than_half_the_size_of_floats(judgements: Mapping[str, lite.Judgement]) -> None:
    assert judgements["int8.tflite"].size * 2 < judgements["float.tflite"].size


def test_a_model_quantised_with_a_wrong_scale_is_told_from_a_good_one(judgements: Mapping[str, lite.Judgement]) -> None:
    assert not holds(judgements["wrong-scale.tflite"]), judgements["wrong-scale.tflite"]
