"""How TorchServe answers: rows of pixels in, rows of probabilities out, in the words that TensorFlow Serving uses."""

import json
from pathlib import Path
from typing import Any

import torch
from model import PIXELS, Network  # the archive's own file, beside this one
from ts.utils.util import PredictionException

BAD_REQUEST = 400


class Handler:
    """One for each worker; TorchServe takes the only class of the file."""

    def initialize(self, context: Any) -> None:  # noqa: ANN401 - TorchServe ships no types
        """Load the weights; one thread, as many as the container's limit has cores."""
        torch.set_num_threads(1)
        folder = Path(context.system_properties["model_dir"])
        self.network = Network()
        self.network.load_state_dict(torch.load(folder / "weights.pt"))
        self.network.eval()

    def handle(self, requests: list[dict[str, Any]], _context: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """Answer each request of a batch."""
        return [self.answer(request.get("body")) for request in requests]

    def answer(self, body: Any) -> dict[str, Any]:  # noqa: ANN401
        """The probabilities for `{"instances": [[784 numbers], ...]}`.

        An empty body asks for nothing and is answered with nothing: so a probe goes the whole way of a prediction.
        """
        if body is None:
            raise PredictionException("a form was sent: send JSON, and say so in Content-Type", BAD_REQUEST)
        rows = rows_of(body) if body else []
        with torch.no_grad():
            images = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), PIXELS)
            return {"predictions": torch.softmax(self.network(images), dim=1).tolist()}


def rows_of(body: Any) -> list[list[float]]:  # noqa: ANN401
    """The rows of a request, parsed by TorchServe already where it was said to be JSON. Raises PredictionException."""
    try:
        told = json.loads(bytes(body)) if isinstance(body, bytes | bytearray) else body
        rows = [[float(pixel) for pixel in row] for row in told["instances"]]
    except (ValueError, TypeError, KeyError) as error:
        raise PredictionException(f"no JSON with rows of numbers under 'instances': {error!r}", BAD_REQUEST) from error
    if wrong := [len(row) for row in rows if len(row) != PIXELS]:
        raise PredictionException(f"a row has {PIXELS} numbers, one here has {wrong[0]}", BAD_REQUEST)
    return rows
