"""Files get into a pod whole, although kubectl's standard input loses its end now and then."""

from typing import Any

import pytest

from shakedown.lab import Lab
from shakedown.verdict import Failed


class LossyCluster:
    """Keeps only so many bytes of each file that is sent, one number an attempt."""

    def __init__(self, *kept: int) -> None:
        self.kept, self.files = list(kept), dict[str, str]()

    def kubectl(self, *command: str, stdin: str | None = None, **_: Any) -> str:
        path = command[-1].removeprefix("cat > ")
        if stdin is None:
            return f"{len(self.files[path])} {path}"
        self.files[path] = stdin[: self.kept.pop(0)]
        return ""


def test_a_file_that_arrived_cut_short_is_sent_again() -> None:
    cluster = LossyCluster(0, 3, 100)
    Lab(cluster, "n").deliver("p", "/data/f", "whole file", within=5)  # type: ignore[arg-type] # a cluster in memory
    assert cluster.files == {"/data/f": "whole file"}


def test_a_file_that_never_arrives_whole_is_named() -> None:
    cluster = LossyCluster(*[4] * 100)
    with pytest.raises(Failed, match=r"/data/f is in pod n/p: not within .*: 4 of 10 bytes arrived"):
        Lab(cluster, "n").deliver("p", "/data/f", "whole file", within=0.5)  # type: ignore[arg-type] # a cluster in memory
