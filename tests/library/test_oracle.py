"""Which answers are right."""

import numpy as np
import pytest

from shakedown.oracle import Oracle


@pytest.fixture
def oracle() -> Oracle:
    """Three images; version 1 says digit 1 to each, version 2 digit 2."""
    answers = {version: np.tile(np.eye(10, dtype=np.float32)[version], (3, 1)) for version in (1, 2)}
    return Oracle(np.zeros((3, 784), dtype=np.float32), answers, tolerance=1e-4)


@pytest.mark.parametrize(("given", "count"), [(2, None), (0, None), (2, 3), (3, 2), (0, 1)])
def test_fewer_or_more_answers_than_images_are_wrong(oracle: Oracle, given: int, count: int | None) -> None:
    assert f"answers of shape [{given}, 10], wanted [{count or 3}, 10]" in oracle.mismatch(
        2, oracle.answers[2][:given], count=count
    )


def test_right_answers_have_no_mismatch(oracle: Oracle) -> None:
    assert not oracle.mismatch(2, oracle.answers[2] + np.float32(5e-5))
    assert not oracle.mismatch(2, oracle.answers[2][1:], first=1)
    assert not oracle.mismatch(2, oracle.answers[2][1:2], first=1, count=1)


def test_a_wrong_answer_is_named_with_its_image_and_both_labels(oracle: Oracle) -> None:
    found = oracle.answers[2].copy()
    found[1] = np.eye(10, dtype=np.float32)[7]
    text = oracle.mismatch(2, found)
    assert text.startswith("1 of 3 answers are not version 2's, the first to image 1: digit 7")
    assert "digit 2 (1.0000) is right" in text


def test_another_versions_answer_is_told_as_such(oracle: Oracle) -> None:
    assert oracle.mismatch(2, oracle.answers[1]).endswith("; it is version 1's answer")


def test_nan_and_a_wrong_shape_are_wrong(oracle: Oracle) -> None:
    assert "3 of 3" in oracle.mismatch(2, np.full((3, 10), np.nan, dtype=np.float32))
    assert "shape [3, 9]" in oracle.mismatch(2, oracle.answers[2][:, :9])
    assert oracle.version_of(0, np.full(10, np.nan, dtype=np.float32)) == 0
