"""Changing rendered objects: what is not touched stays the same object, so that its judgement can be kept."""

import copy
from collections.abc import Sequence
from typing import Any

import jsonpatch
import jsonpointer

from mutants.catalogue import Change, Mutant, Replacement
from shakedown.lint.objects import Obj


class DoesNotApply(Exception):
    """A mutant that changes nothing proves nothing; the message names what is not there."""


def mutate(objects: Sequence[Obj], mutant: Mutant, cluster_scoped: frozenset[tuple[str, str]]) -> list[Obj]:
    """The objects with the mutant's changes. Raises DoesNotApply."""
    found = list(objects)
    for each in mutant.change:
        found = apply(found, each, cluster_scoped)
    return found


def apply(objects: list[Obj], change: Change, cluster_scoped: frozenset[tuple[str, str]]) -> list[Obj]:
    """The objects with one change. Raises DoesNotApply."""
    if change.add:
        group = str(change.add.get("apiVersion")).rpartition("/")[0]
        scoped = (group, str(change.add.get("kind"))) in cluster_scoped
        return [*objects, Obj(change.add, "the mutant", scoped)]
    wanted = change.on or change.remove
    index = [number for number, obj in enumerate(objects) if plain_name(obj) == wanted]
    if len(index) != 1:
        raise DoesNotApply(f"{wanted} is rendered {len(index)} times, and must be once")
    before = objects[index[0]]
    after = [] if change.remove else [Obj(changed(before.data, change), before.source, before.cluster_scoped)]
    return [*objects[: index[0]], *after, *objects[index[0] + 1 :]]


def plain_name(obj: Obj) -> str:
    """The object's name without the hash that kustomize appends to generated ConfigMaps."""
    name, _, digest = str(obj).rpartition("-")
    hashed = obj.kind in {"ConfigMap", "Secret"} and len(digest) == 10 and any(c.isdigit() for c in digest)
    return name if hashed else str(obj)


def changed(data: dict[str, Any], change: Change) -> dict[str, Any]:
    """A copy of an object's data with patches and replacements. Raises DoesNotApply."""
    try:
        after: dict[str, Any] = jsonpatch.JsonPatch(change.patch).apply(copy.deepcopy(data))
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise DoesNotApply(f"{change.on}: {error}") from error
    for each in change.replace:
        replace(after, each, change.on)
    if after == data:
        raise DoesNotApply(f"{change.on} is the same after the patch")
    return after


def replace(data: dict[str, Any], each: Replacement, name: str) -> None:
    """Replace text within one string value. Raises DoesNotApply."""
    try:
        text = jsonpointer.resolve_pointer(data, each.path)
    except jsonpointer.JsonPointerException as error:
        raise DoesNotApply(f"{name}: {error}") from error
    if not isinstance(text, str) or each.old not in text:
        raise DoesNotApply(f"{name}{each.path}: holds no {each.old!r}")
    jsonpointer.set_pointer(data, each.path, text.replace(each.old, each.new))
