import re
from collections.abc import Iterator, Sequence
from typing import Any

from shakedown.lint.objects import Json, Tree
from shakedown.lint.quantity import seconds

# fields that are a duration, or that bound one by a count of its periods
DURATION_FIELDS = re.compile(
    r"(seconds|interval|timeout|period|for|retention|wait|duration|deadline|grace|delay)$|^(duration|scrapeTimeout|schedule)$",
    re.IGNORECASE,
)
# durations inside of strings: --flag=30s, --flag_seconds=5, [30s], group_wait: 5s
DURATION_TEXT = re.compile(r"\b\d+(\.\d+)?(ms|s|m|h|d)\b|(?<=seconds=)\d+|(?<=micros=)\d+|(?<=_in_ms=)\d+")


def key_of(data: Tree) -> str:
    """Kind, namespace and name of an object; the hash that kustomize appends to generated configuration left out."""
    meta = data.get("metadata") or {}
    name = (
        re.sub(r"-[a-z0-9]{10}$", "", str(meta.get("name")))
        if data.get("kind") in {"ConfigMap", "Secret"}
        else meta.get("name")
    )
    return f"{data.get('kind')} {meta.get('namespace', '')}/{name}"


def differences(before: Sequence[Tree], after: Sequence[Tree]) -> Iterator[tuple[str, str, Any, Any]]:
    """Object, field and both values of everything in which two renderings differ; None stands for what is missing."""
    left, right = ({key_of(data): data for data in side} for side in (before, after))
    for key in sorted(left.keys() | right.keys()):
        yield from ((key, *each) for each in _differences(left.get(key), right.get(key), ""))


def _differences(before: Json, after: Json, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif before != after:
        yield path, before, after


def is_shorter_duration(path: str, before: Json, after: Json) -> bool:
    """Whether a difference shortens a duration, or sets one that was left to its default, and does nothing else."""
    field = re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
    if DURATION_FIELDS.search(field):
        old, new = _seconds(before), _seconds(after)
        return new is not None and (before is None or (old is not None and 0 <= new <= old))
    if _is_generated_name(before, after):
        return True
    if isinstance(before, str) and isinstance(after, str):
        # a mark in each duration's place, or one that is missing would look like one that was shortened
        if DURATION_TEXT.sub("\0", before) != DURATION_TEXT.sub("\0", after):
            return False
        pairs = zip(DURATION_TEXT.finditer(before), DURATION_TEXT.finditer(after), strict=True)
        return all((_seconds(new[0]) or 0) <= (_seconds(old[0]) or 0) for old, new in pairs)
    return False


def _is_generated_name(before: Json, after: Json) -> bool:
    names = [re.sub(r"-[a-z0-9]{10}$", "", value) if isinstance(value, str) else value for value in (before, after)]
    return isinstance(before, str) and names[0] == names[1]


def _seconds(value: Json) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.isdigit():
        return float(value)
    return seconds(value)
