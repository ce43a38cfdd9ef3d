from collections.abc import Iterator

import pytest

from shakedown.verdict import Failed
from shakedown.wait import NotYet, Waiting, Watch, eventually


def test_a_wait_gives_back_what_the_check_returned_at_last() -> None:
    answers: Iterator[str] = iter(["no", "no", "yes"])

    def ready() -> str:
        """The thing is ready."""
        if (answer := next(answers)) == "no":
            raise NotYet(answer)
        return answer

    assert eventually(ready, within=5) == "yes"


def test_a_timeout_says_what_was_awaited_what_was_seen_and_after_how_long() -> None:
    def ready() -> None:
        """Both pods are Ready."""
        raise NotYet("1 of 2 pods ready")

    with pytest.raises(
        Failed, match=r"Both pods are Ready: not within 0\.3 s; last seen after 0\.[3-9] s: 1 of 2 pods ready"
    ):
        eventually(ready, within=0.3)


def test_another_exception_ends_the_wait_at_once() -> None:
    calls = []

    def broken() -> None:
        """It never works."""
        calls.append(1)
        raise ConnectionError("refused")

    with pytest.raises(ConnectionError):
        eventually(broken, within=5)
    assert len(calls) == 1


def test_the_last_look_is_taken_at_the_deadline_itself() -> None:
    calls = []

    def ready() -> None:
        """It is ready."""
        calls.append(1)
        raise NotYet("not")

    with pytest.raises(Failed):
        eventually(ready, within=0.1)
    assert len(calls) == 2


def test_a_long_wait_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Waiting] = []
    monkeypatch.setattr(Watch, "show", shown.append)
    monkeypatch.setattr("shakedown.wait.SHOW_AFTER_S", 0.2)

    def ready() -> None:
        """The pod is Ready."""
        raise NotYet("Pending")

    with pytest.raises(Failed):
        eventually(ready, within=1)
    assert shown
    assert (shown[0].awaited, shown[0].seen) == ("The pod is Ready", "Pending")
    assert shown[0].waited + shown[0].left == pytest.approx(1)
