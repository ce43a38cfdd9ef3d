"""The classifier for small devices: converted to TFLite, with floats and with 8-bit integers, it answers as it did."""

from collections.abc import Mapping

import pytest

from fixtures.verdicts import Evidence
from models import lite
from models.build import bundle
from shakedown.settings import Objectives

pytestmark = pytest.mark.test_bed  # files of this project, and no server


@pytest.fixture(scope="module")
def judgements() -> Mapping[str, lite.Judgement]:
    """Each converted model, run over the whole held-out split beside the SavedModel."""
    return lite.judgements()


def breach(name: str, found: lite.Judgement, objectives: Objectives) -> str:
    """What a converted model doesn't keep; empty where it answers as the SavedModel does."""
    if found.agreement < objectives.lite_agreement:
        return (
            f"{name}: {found.agreement:.1%} of its labels are the SavedModel's, {objectives.lite_agreement:.1%} wanted;"
            " was it calibrated on images scaled as clients send them?"
        )
    if found.accuracy_loss > objectives.lite_accuracy_loss:
        return f"{name}: accuracy {found.accuracy:.2%} is {found.accuracy_loss * 100:.2f} points below the SavedModel's"
    return ""


@pytest.mark.parametrize("name", ["float.tflite", "int8.tflite"])
def test_converted_model_answers_as_the_saved_model_does(
    judgements: Mapping[str, lite.Judgement], objectives: Objectives, evidence: Evidence, name: str
) -> None:
    """Over the held-out split the converted model gives the SavedModel's labels, and loses no point of accuracy."""
    found = judgements[name]
    wrong = breach(name, found, objectives)
    assert not wrong, wrong
    evidence(
        f"{found.agreement:.2%} of labels as the SavedModel, accuracy {found.accuracy:.2%}"
        f" ({found.accuracy_loss * 100:.2f} points lost), {found.size / 1024:.0f} KiB,"
        f" {found.latency_ms:.3f} ms an image in process"
    )


def test_full_int8_is_less_than_half_the_size_of_floats(
    judgements: Mapping[str, lite.Judgement], evidence: Evidence
) -> None:
    """What 8-bit integers are for: the model is less than half as large as with floats."""
    small, large = judgements["int8.tflite"].size, judgements["float.tflite"].size
    saved = sum(file.stat().st_size for file in (bundle() / "digits" / str(lite.VERSION)).rglob("*") if file.is_file())
    assert small * 2 < large, f"int8 {small} bytes, floats {large} bytes: are its weights still floats?"
    evidence(f"int8 {small / 1024:.0f} KiB, floats {large / 1024:.0f} KiB, SavedModel {saved / 1024:.0f} KiB")
