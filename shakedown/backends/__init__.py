"""Back ends: one module for each knows its wire, and one setting chooses it."""

from collections.abc import Mapping

from shakedown.backends.tensorflow import TensorFlowServing
from shakedown.backends.torchserve import TorchServe
from shakedown.backends.wire import Wire

TENSORFLOW, TORCHSERVE = TensorFlowServing(), TorchServe()
WIRES: Mapping[str, Wire] = {wire.name: wire for wire in (TENSORFLOW, TORCHSERVE)}
