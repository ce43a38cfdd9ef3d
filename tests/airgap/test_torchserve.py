"""TorchServe's image and golden answers, without building any."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from airgap import images, torchserve
from airgap.cache import BuildError
from models.golden import TOLERANCE
from shakedown.settings import Backend, load

OVERLAY = Path(__file__).parents[2] / "manifests" / "overlays" / "torchserve"
EACH = 20
LABELS = np.tile(np.arange(10), EACH)
IMAGES = np.zeros((len(LABELS), 784), dtype=np.float32)
SURE = (np.eye(10, dtype=np.float32) * 0.9 + 0.01)[LABELS]


def test_nobody_builds_it_who_does_not_ask_for_it() -> None:
    assert torchserve.NAME not in images.CATALOGUE


def test_the_overlay_runs_the_image_that_is_built_at_the_ports_that_are_asked() -> None:
    deployment = next(
        each for each in yaml.safe_load_all((OVERLAY / "deployment.yaml").read_text()) if each["kind"] == "Deployment"
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert f"docker.io/{container['image']}" == torchserve.NAME
    names = load({"backend": Backend.TORCHSERVE}, {}).deployment
    config = (OVERLAY / "config" / "config.properties").read_text()
    for name, port in (("inference", names.rest_port), ("metrics", names.metrics_port)):
        assert f"{name}_address=http://0.0.0.0:{port}\n" in config
    assert f"management_address=http://127.0.0.1:{names.management_port}\n" in config, (
        "it is for nobody outside the pod"
    )
    assert f"load_models={torchserve.ARCHIVE}\n" in config


def test_golden_images_are_as_many_of_each_digit_and_answered_right() -> None:
    made = torchserve.golden_of(IMAGES, LABELS, scores=SURE, together=SURE, alone=SURE)
    (known,) = made.versions.values()
    assert known.accuracy == 1.0
    assert np.bincount(known.labels).tolist() == [torchserve.GOLDEN_EACH] * 10
    assert len(made.images) == len(known.probabilities) == 10 * torchserve.GOLDEN_EACH


def test_a_model_that_is_wrong_too_often_is_none() -> None:
    turned = np.roll(SURE, 1, axis=1)
    with pytest.raises(BuildError, match=r"right in 0\.0000 of all cases, wanted 0\.95"):
        torchserve.golden_of(IMAGES, LABELS, scores=turned, together=turned, alone=turned)


def test_a_model_whose_answers_hang_on_the_batch_has_no_golden_ones() -> None:
    with pytest.raises(BuildError, match="batch and single answers differ"):
        torchserve.golden_of(IMAGES, LABELS, scores=SURE, together=SURE, alone=SURE + np.float32(TOLERANCE))
