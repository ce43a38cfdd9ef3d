"""TorchServe 0.12: predictions on one port, versions and workers on a second, metrics on a third."""

from typing import Any

from shakedown.backends.wire import Wire

STORE = "its archive comes in its image: there is no model store and no import Job"
CONTROL = "its versions are told on the management port, which the front door doesn't lead to"
OWN_STACK = "its overlay has none"
VERSIONS = "which version serves is said in its configuration; it watches no folder and knows no labels"


class TorchServe(Wire):
    """Its REST and its management API; rows of JSON as models/torchserve/handler.py takes and gives them."""

    name = "torchserve"
    title = "TorchServe"
    metrics_path = "/metrics"
    metrics_hint = "metrics_address and metrics_mode=prometheus in config.properties"
    counted = "ts_inference_requests_total"
    hangs_up = True
    lacks = {  # noqa: RUF012 - ClassVar in the base
        "grpc": "its gRPC is another protocol than TensorFlow Serving's, and the project has no client of it",
        "status at the front door": CONTROL,
        "signatures": "a handler has one input and one output, under no names",
        "batching": "it is configured to answer each request alone",
        "dashboard": OWN_STACK,
        "static": "its rules read TensorFlow Serving's flags, and its alerts' tests are of that stack",
        "autoscaling": "its stages are timed by TensorFlow Serving's start",
        "canary": OWN_STACK,
        "release": "the pipeline builds and verifies images of TensorFlow Serving",
        "health/test_import_job": STORE,
        "health/test_liveness": "its queue refuses a 101st request: no load makes a probe wait for a second",
        "prediction/test_lite": "no server is asked: TFLite models are TensorFlow's",
        "prediction/test_memory": VERSIONS,
        "prediction/test_reload": VERSIONS,
        "prediction/test_versions": VERSIONS,
        "prediction/test_warm_up": "it replays no recorded requests",
        "alerting/test_causes": "the causes are made for the alerts of the TensorFlow Serving stack",
        "alerting/test_disturbed": "the causes are made for the alerts of the TensorFlow Serving stack",
        "alerting/test_outage": "the causes are made for the alerts of the TensorFlow Serving stack",
        "alerting/test_refused": "the causes are made for the alerts of the TensorFlow Serving stack",
        "recovery/test_alerts": "the causes are made for the alerts of the TensorFlow Serving stack",
        "recovery/test_crash": "of faults only those of its pods are asked",
        "recovery/test_gateway": "of faults only those of its pods are asked",
        "recovery/test_network": "of faults only those of its pods are asked",
        "recovery/test_nodes": "of faults only those of its pods are asked",
        "recovery/test_platform": "of faults only those of its pods are asked",
        "recovery/test_pressure": "of faults only those of its pods are asked",
        "recovery/test_releases": "of faults only those of its pods are asked",
        "recovery/test_soak": "of faults only those of its pods are asked",
        "recovery/test_store": STORE,
    }

    def prediction_path(self, model: str, version: int | None = None) -> str:
        """The version is the path's last part, as the archive has it: 1.0."""
        return f"/predictions/{model}{f'/{version}.0' if version else ''}"

    def status_path(self, model: str) -> str:
        """On the management port: every version of a model, with its workers."""
        return f"/models/{model}/all"

    def states(self, told: Any) -> dict[int, str]:  # noqa: ANN401 - parsed JSON
        """AVAILABLE where all of a version's workers are READY, else what they are."""
        return {int(float(entry["modelVersion"])): state(entry) for entry in told}

    def refusal(self, told: Any) -> str:  # noqa: ANN401 - parsed JSON
        """Beside a code and the exception's name."""
        return str(told["message"])

    def without_model(self, text: str, model: str) -> str:
        """An archive that isn't in the store; TorchServe starts without it."""
        return text.replace(f"={model}.mar", "=no-such-model.mar")


def state(entry: dict[str, Any]) -> str:
    """One version's state by its workers': a server whose worker is still loading answers /ping as healthy."""
    found = sorted({worker["status"] for worker in entry["workers"]})
    whole = found == ["READY"] and len(entry["workers"]) >= entry["minWorkers"]
    return "AVAILABLE" if whole else " and ".join(found) or "without workers"
