"""What the suites know of a model server's wire: where it is asked, in which words, and what it can't be asked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def words(text: str) -> str:
    """What a server says, on one line and not too long: its JSON may have one for each field."""
    return " ".join(text.split())[:200]


class Wire(ABC):
    """One back end.

    `lacks` says why something is not asked of it, in words for the report, under a suite's name, a file's
    (`suite/test_file`) or a name of the marker `asks_for`. What stands nowhere in it is asked.
    """

    name: ClassVar[str]  # as --backend spells it
    title: ClassVar[str]  # as people do
    metrics_path: ClassVar[str]
    metrics_hint: ClassVar[str]  # where to look when there are none
    counted: ClassVar[str]  # the metric that counts the predictions that a server was asked for
    ignored: ClassVar[str] = ""  # what may follow a body's document: the server looks no further
    hangs_up: ClassVar[bool] = False  # on who asked wrongly: a tunnel of kubectl ends with that
    lacks: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def prediction_path(self, model: str, version: int | None = None) -> str:
        """Where a prediction is asked for, of a version or of the one that serves."""

    @abstractmethod
    def status_path(self, model: str) -> str:
        """Where a server tells of a model's versions."""

    @abstractmethod
    def states(self, told: Any) -> dict[int, str]:  # noqa: ANN401 - parsed JSON
        """Each version's state by what a server tells, "AVAILABLE" for one that answers predictions."""

    @abstractmethod
    def refusal(self, told: Any) -> str:  # noqa: ANN401 - parsed JSON
        """The words with which a server refuses a request. Raises KeyError where it is no refusal."""

    @abstractmethod
    def without_model(self, text: str, model: str) -> str:
        """A file of the server's configuration with a model in it that isn't there; as it is, where it names none."""

    def question(self, images: Floats) -> dict[str, Any]:
        """The body that asks for predictions of images (n, 784)."""
        return {"instances": images.tolist()}

    def answers(self, told: Any) -> Floats:  # noqa: ANN401 - parsed JSON
        """The predictions (n, 10) in a parsed answer. Raises KeyError and ValueError for one that holds none."""
        return np.asarray(told["predictions"], dtype=np.float32)
