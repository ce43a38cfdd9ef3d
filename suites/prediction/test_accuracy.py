"""The served model is as good as the model that was built."""

import numpy as np

from fixtures.verdicts import Evidence
from models.golden import MIN_ACCURACY, Golden
from shakedown.serving import Endpoint
from shakedown.settings import Deployment


def test_served_accuracy_equals_the_accuracy_in_process(
    gateway: Endpoint, deployment: Deployment, golden: Golden, served: int, evidence: Evidence
) -> None:
    """Over the whole held-out split, users get right labels exactly as often as TensorFlow in process did."""
    images, labels = golden.held_out_images, golden.held_out_labels
    found = [
        gateway.predict_rest(deployment.model, images[start : start + deployment.batch]).argmax(axis=1)
        for start in range(0, len(images), deployment.batch)
    ]
    right = int((np.concatenate(found) == labels).sum())
    wanted = round(golden.versions[served].accuracy * len(labels))
    assert right == wanted, f"{right} of {len(labels)} right through the front door, {wanted} in process"
    assert right / len(labels) >= MIN_ACCURACY
    evidence(f"{right} of {len(labels)} held-out images right ({right / len(labels):.2%}), as in process")
