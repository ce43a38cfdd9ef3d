"""Relabelings are carried out as Prometheus does it."""

from typing import Any

import pytest

from shakedown.lint.relabel import relabelled


@pytest.mark.parametrize(
    ("relabeling", "left"),
    [
        (
            {"sourceLabels": ["a"], "regex": "(.+)-(.+)", "targetLabel": "b", "replacement": "$2"},
            {"a": "x-y", "b": "y"},
        ),
        ({"sourceLabels": ["a"], "targetLabel": "b", "replacement": "$2"}, {"a": "x-y", "b": ""}),  # no such group
        (
            {"sourceLabels": ["a"], "regex": "(?P<l>.)-(.)|(z)", "targetLabel": "b", "replacement": "$1x${l}$3$$"},
            {"a": "x-y", "b": "x$"},
        ),
        ({"sourceLabels": ["a"], "regex": "x", "targetLabel": "b"}, {"a": "x-y"}),  # anchored: no match, no label
        ({"sourceLabels": ["a", "c"], "regex": "x-y;", "action": "keep"}, {"a": "x-y"}),
        ({"sourceLabels": ["a"], "regex": "x", "action": "keep"}, None),
        ({"sourceLabels": ["a"], "regex": "x.*", "action": "drop"}, None),
        ({"regex": "a|b", "action": "labeldrop"}, {}),
        ({"sourceLabels": ["a"], "regex": "(", "targetLabel": "b"}, None),  # refused
    ],
)
def test_one_relabeling(relabeling: dict[str, Any], left: dict[str, str] | None) -> None:
    assert relabelled({"a": "x-y"}, [relabeling]) == left
