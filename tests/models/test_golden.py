from pathlib import Path

import numpy as np
import pytest

from models.build import bundle
from models.golden import MIN_ACCURACY, MIN_VERSION_DISTANCE, TOLERANCE, Golden, NotGoodEnoughError

SPOILED = {"truncated", "no-variables", "bad-warm-up", "no-warm-up", "permuted", "worse", "wrong-shape"}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden.load(bundle())


def test_version_1_is_good_and_version_2_is_better(golden: Golden) -> None:
    assert MIN_ACCURACY <= golden.versions[1].accuracy < golden.versions[2].accuracy


def test_every_golden_image_tells_the_versions_apart(golden: Golden) -> None:
    apart = np.abs(golden.versions[1].probabilities - golden.versions[2].probabilities).max(axis=1)
    assert len(apart) == 64
    assert apart.min() > MIN_VERSION_DISTANCE > 100 * TOLERANCE


def test_golden_images_are_of_the_agreed_shape_and_range(golden: Golden) -> None:
    assert golden.images.shape == (64, 784)
    assert golden.images.dtype == np.float32
    assert (golden.images.min(), golden.images.max()) == (0.0, pytest.approx(1.0))


def test_golden_answers_hold_every_digit(golden: Golden) -> None:
    assert set(golden.versions[2].labels.tolist()) == set(range(10))


def test_the_bundle_holds_both_versions_with_warm_up_and_every_spoiled_one() -> None:
    for version in ("1", "2"):
        assert (bundle() / "digits" / version / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 784 * 4
    assert {folder.name for folder in (bundle() / "spoiled").iterdir()} == SPOILED


def test_a_version_2_that_is_no_better_fails_the_build(golden: Golden) -> None:
    swapped = Golden(
        golden.images, {1: golden.versions[2], 2: golden.versions[1]}, golden.held_out_images, golden.held_out_labels
    )
    with pytest.raises(NotGoodEnoughError, match="and version 2 better"):
        swapped.check()


def test_loading_something_else_as_a_bundle_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"golden\.json"):
        Golden.load(tmp_path)
