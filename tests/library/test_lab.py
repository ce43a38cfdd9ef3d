"""Files get into a pod whole, and a door that nobody could try is not taken for a shut one."""

import subprocess
from typing import Any

import pytest

from shakedown.cluster.access import CommandFailed
from shakedown.lab import TIMED, Lab, Reach
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


class AskedCluster:
    """Answers each command in a pod with the same words, or can't ask the pod."""

    def __init__(self, told: str | CommandFailed) -> None:
        self.told = told

    def kubectl(self, *_: str, **__: Any) -> str:
        if isinstance(self.told, CommandFailed):
            raise self.told
        return self.told


def reach(told: str | CommandFailed) -> Reach:
    return Lab(AskedCluster(told), "n").connect("p", "10.0.0.1", 80, 1)  # type: ignore[arg-type] # a cluster in memory


def test_a_door_is_open_or_shut_by_the_clients_word_and_the_pods_clock() -> None:
    assert reach("7.25 7.50 0 \n") == Reach(reached=True, seconds=0.25, said="")
    assert reach("7.25 8.25 1 DNS: no such host\nmore\n") == Reach(reached=False, seconds=1.0, said="DNS: no such host")


def test_a_pod_that_can_not_be_asked_says_nothing_of_a_door() -> None:
    with pytest.raises(CommandFailed):
        reach(CommandFailed("kubectl exec", 1, "error: unable to upgrade connection"))


def test_a_client_that_did_not_run_says_nothing_of_a_door() -> None:
    with pytest.raises(Failed, match="the client in pod n/p ended with code 127: sh: /agnhost: not found"):
        reach("7.25 7.25 127 sh: /agnhost: not found\n")


def test_a_program_is_timed_and_told_of() -> None:
    told = subprocess.run(
        ["sh", "-c", TIMED, "sh", "sh", "-c", "sleep 0.2; echo shut >&2; exit 1"], check=True, capture_output=True
    )
    began, ended, code, said = told.stdout.decode().split()
    assert (code, said) == ("1", "shut")
    assert 0.18 <= float(ended) - float(began) < 5
