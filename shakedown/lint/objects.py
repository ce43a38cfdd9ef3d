from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import yaml

Json: TypeAlias = Any  # whatever YAML can hold; the schema rule says whether it is what it should be
Tree: TypeAlias = dict[str, Any]

BUILT_IN_NAMESPACES = {"default", "kube-system", "kube-public", "kube-node-lease"}


def tree(value: Json) -> Tree:
    """The mapping itself, or an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def trees(value: Json) -> list[Tree]:
    """The mappings of a list, or nothing where there is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


@lru_cache(maxsize=64)
def read_yaml(text: str) -> Tree:
    """The mapping that a text holds, not to be changed: empty where it holds none or is no YAML."""
    try:
        return tree(yaml.load(text, yaml.CSafeLoader))
    except yaml.YAMLError:
        return {}


def dig(value: Json, *keys: str) -> Json:
    """The value below nested mappings, None where a step is missing."""
    for key in keys:
        value = tree(value).get(key)
    return value


@dataclass(frozen=True, eq=False)
class Obj:
    """One rendered object, and the file it came from."""

    data: Tree
    source: str
    cluster_scoped: bool = False

    @property
    def api(self) -> str:
        """The apiVersion: group and version."""
        return str(self.data.get("apiVersion", ""))

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api.rpartition("/")[0]

    @property
    def kind(self) -> str:
        """The kind."""
        return str(self.data.get("kind", ""))

    @property
    def meta(self) -> Tree:
        """The metadata."""
        return tree(self.data.get("metadata"))

    @property
    def name(self) -> str:
        """The name, or the prefix that the server makes one from."""
        return str(self.meta.get("name") or self.meta.get("generateName") or "")

    @property
    def namespace(self) -> str:
        """The namespace; empty for what has none, `default` where a namespaced object leaves it out."""
        return "" if self.cluster_scoped else str(self.meta.get("namespace") or "default")

    @property
    def labels(self) -> dict[str, str]:
        """The object's own labels."""
        return {str(k): str(v) for k, v in tree(self.meta.get("labels")).items()}

    @property
    def annotations(self) -> Tree:
        """The object's annotations."""
        return tree(self.meta.get("annotations"))

    @property
    def spec(self) -> Tree:
        """The spec, or an empty mapping."""
        return tree(self.data.get("spec"))

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def matches(selector: Json, labels: dict[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) selects the labels; an empty one selects all."""
    for key, value in tree(dig(selector, "matchLabels")).items():
        if labels.get(key) != str(value):
            return False
    return all(_expression_holds(each, labels) for each in trees(dig(selector, "matchExpressions")))


def _expression_holds(expression: Tree, labels: dict[str, str]) -> bool:
    key, values = expression.get("key"), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return labels.get(str(key)) in values
        case "NotIn":
            return labels.get(str(key)) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


class Inventory:
    """Everything that was rendered, found by kind, namespace and name."""

    def __init__(self, objects: Iterable[Obj]) -> None:
        self.objects = tuple(objects)

    @cached_property
    def _by_kind(self) -> dict[str, list[Obj]]:
        index: dict[str, list[Obj]] = {}
        for obj in self.objects:
            index.setdefault(obj.kind, []).append(obj)
        return index

    @cached_property
    def _by_name(self) -> dict[tuple[str, str, str], Obj]:
        return {(obj.kind, obj.namespace, obj.name): obj for obj in self.objects}

    def of(self, *kinds: str) -> list[Obj]:
        """All objects of these kinds, in the order they were rendered."""
        return [obj for kind in kinds for obj in self._by_kind.get(kind, [])]

    def find(self, kind: str, namespace: str, name: Json) -> Obj | None:
        """The object of that name, or None."""
        return self._by_name.get((kind, namespace, str(name)))

    @cached_property
    def namespaces(self) -> dict[str, dict[str, str]]:
        """Labels of each namespace, the one that Kubernetes sets on every namespace included."""
        known: dict[str, dict[str, str]] = {name: {} for name in BUILT_IN_NAMESPACES}
        known |= {ns.name: ns.labels for ns in self.of("Namespace")}
        for obj in self.objects:
            if obj.namespace:
                known.setdefault(obj.namespace, {})
        return {name: {**labels, "kubernetes.io/metadata.name": name} for name, labels in known.items()}

    def selected(self, kind: str, namespace: str, selector: Json) -> Iterator[Obj]:
        """The objects of one kind in one namespace whose own labels match."""
        return (o for o in self.of(kind) if o.namespace == namespace and matches(selector, o.labels))
