"""TensorFlow Serving, which the suites were written for: it lacks nothing that they ask."""

from typing import Any

from shakedown.backends.wire import Wire


class TensorFlowServing(Wire):
    """Its REST API; what only it has (gRPC, labels, signatures) the tests that ask for it spell out themselves."""

    name = "tensorflow"
    title = "TensorFlow Serving"
    metrics_path = "/monitoring/prometheus/metrics"
    metrics_hint = "--monitoring_config_file"
    ignored = ";"  # a quick parser in front of the server's own refuses it, so that each request costs what it can
    counted = ":tensorflow:serving:request_count"

    def prediction_path(self, model: str, version: int | None = None) -> str:
        """The version is a part of the path."""
        return f"/v1/models/{model}{f'/versions/{version}' if version else ''}:predict"

    def status_path(self, model: str) -> str:
        """On the REST port itself."""
        return f"/v1/models/{model}"

    def states(self, told: Any) -> dict[int, str]:  # noqa: ANN401 - parsed JSON
        """As the server names them."""
        return {int(entry["version"]): entry["state"] for entry in told["model_version_status"]}

    def refusal(self, told: Any) -> str:  # noqa: ANN401 - parsed JSON
        """Its one field."""
        return str(told["error"])

    def without_model(self, text: str, model: str) -> str:
        """A base path that leads nowhere."""
        return text.replace(f'/{model}"', '/no-such-model"')
