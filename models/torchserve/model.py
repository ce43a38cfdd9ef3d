"""The network; it goes into the archive, and TorchServe's worker imports it from there."""

import torch

PIXELS, HIDDEN, DIGITS = 784, 128, 10


class Network(torch.nn.Module):  # type: ignore[misc] # torch is in the image alone
    """One hidden layer; scores before softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(PIXELS, HIDDEN)
        self.outer = torch.nn.Linear(HIDDEN, DIGITS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, 784) in 0..1 to scores (n, 10)."""
        return self.outer(torch.relu(self.inner(images)))
