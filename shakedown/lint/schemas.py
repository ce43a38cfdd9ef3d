import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import jsonschema_rs

from shakedown.lint.objects import Json, Obj, Tree, dig, tree, trees

WORKFLOW = ("github.com", "Workflow")
SWAGGER_REF = "#/definitions/"
INT_OR_STRING = {"type": ["integer", "string"]}
QUANTITY = {"type": ["string", "number"], "pattern": r"^[+-]?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$"}


@dataclass(frozen=True)
class SchemaError:
    """One deviation of an object from its schema."""

    field: str
    says: str
    mend: str
    misshapen: bool


class Schemas:
    """JSON schemas by group, version and kind, read from folders when they are first asked for.

    `definitions` are CustomResourceDefinitions that come along with what is judged.
    """

    def __init__(self, folders: Iterable[Path], definitions: Iterable[Tree] = ()) -> None:
        self._folders = tuple(folders)
        self._given = {each.file: each for each in from_crds(definitions)}
        self._validators: dict[str, jsonschema_rs.Validator | None] = {}
        self._errors: WeakKeyDictionary[Obj, tuple[SchemaError, ...]] = WeakKeyDictionary()

    @cached_property
    def cluster_scoped(self) -> frozenset[tuple[str, str]]:
        """Group and kind of everything that has no namespace."""
        lists = [json.loads((folder / "cluster-scoped.json").read_text()) for folder in self._folders]
        given = {(each.group, each.kind) for each in self._given.values() if each.cluster_scoped}
        return frozenset((group, kind) for pairs in lists for group, kind in pairs) | {WORKFLOW} | given

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds that a schema is known for."""
        return frozenset(f.stem.rpartition("_")[2] for folder in self._folders for f in folder.glob("*_*.json"))

    def validator(self, api: str, kind: str) -> jsonschema_rs.Validator | None:
        """The validator of one kind, None where no schema is known."""
        name = file_name(api, kind)
        if name not in self._validators:
            files = [folder / name for folder in self._folders if (folder / name).is_file()]
            found = json.loads(files[0].read_text()) if files else None
            schema = self._given[name].schema if name in self._given else found
            self._validators[name] = None if schema is None else jsonschema_rs.validator_for(schema)
        return self._validators[name]

    def errors(self, obj: Obj) -> tuple[SchemaError, ...]:
        """Each deviation from the schema, or that none is known."""
        if obj not in self._errors:
            self._errors[obj] = tuple(self._find_errors(obj))
        return self._errors[obj]

    def misshapen(self, obj: Obj) -> bool:
        """Whether an object's values may have other types than its kind's."""
        return any(error.misshapen for error in self.errors(obj))

    def _find_errors(self, obj: Obj) -> Iterator[SchemaError]:
        validator = self.validator(obj.api, obj.kind)
        if (obj.group, obj.kind) == WORKFLOW:
            return
        if validator is None:
            says = f"{obj.api} {obj.kind} is no kind that is known{suggestion(obj.kind, self.kinds)}"
            yield SchemaError(
                "kind", says, "correct apiVersion and kind, or add its CustomResourceDefinition", misshapen=True
            )
            return
        for error in validator.iter_errors(obj.data):
            yield SchemaError(_field(obj.data, error.instance_path), *_reworded(error))


def _field(data: Json, path: Iterable[str | int]) -> str:
    field = ""
    for step in path:
        data = data[step]
        if isinstance(step, int):
            field += f"[{data.get('name', step) if isinstance(data, dict) else step}]"
        else:
            field += f".{step}" if field else str(step)
    return field or "the object"


def _reworded(error: jsonschema_rs.ValidationError) -> tuple[str, str, bool]:
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        unknown = ", ".join(repr(name) for name in kind.unexpected)
        return f"holds what its schema does not know: {unknown}", "correct spelling or indentation, or drop it", False
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return f"lacks the required field {kind.property!r}", f"set {kind.property!r}", False
    return f"is not what its schema wants: {error.message}", "write the type and form that the schema names", True


def suggestion(kind: str, known: Iterable[str]) -> str:
    """A kind that is spelled much like this one, as a question; empty where there is none."""
    close = get_close_matches(kind, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def file_name(api: str, kind: str) -> str:
    """The file that holds the schema of a kind."""
    return f"{api.replace('/', '_')}_{kind}.json"


def write_from_swagger(swagger: Path, folder: Path) -> None:
    """Write one strict schema per kind of Kubernetes' swagger.json, and the list of cluster-scoped kinds."""
    document = json.loads(swagger.read_text())
    definitions = {name: _strict_definition(name, body) for name, body in document["definitions"].items()}
    for name, body in document["definitions"].items():
        for gvk in body.get("x-kubernetes-group-version-kind", []):
            if len(body["x-kubernetes-group-version-kind"]) == 1:
                api = f"{gvk['group']}/{gvk['version']}".lstrip("/")
                needed = {each: definitions[each] for each in _closure(name, definitions)}
                schema = {"$ref": SWAGGER_REF + name, "definitions": needed}
                (folder / file_name(api, gvk["kind"])).write_text(json.dumps(schema))
    (folder / "cluster-scoped.json").write_text(json.dumps(sorted(_cluster_scoped(document["paths"]))))


def _strict_definition(name: str, body: Tree) -> Tree:
    if name.endswith("intstr.IntOrString"):
        return INT_OR_STRING
    if name.endswith("resource.Quantity"):
        return QUANTITY
    strict = {key: value for key, value in body.items() if key in {"type", "properties", "required", "items"}}
    strict["properties"] = {field: _plain(schema) for field, schema in body.get("properties", {}).items()}
    if strict["properties"]:
        strict["additionalProperties"] = False
    elif "additionalProperties" in body:
        strict["additionalProperties"] = _plain(body["additionalProperties"])
    return strict


def _plain(schema: Json) -> Json:
    """A property's schema without descriptions and formats, which only cost time."""
    keep = {"type", "$ref", "items", "additionalProperties", "enum"}
    plain = {key: value for key, value in schema.items() if key in keep}
    for nested in ("items", "additionalProperties"):
        if nested in plain:
            plain[nested] = _plain(plain[nested])
    return plain


def _closure(name: str, definitions: dict[str, Tree]) -> set[str]:
    found, open_ends = {name}, [name]
    while open_ends:
        text = json.dumps(definitions[open_ends.pop()])
        for part in text.split(SWAGGER_REF)[1:]:
            other = part.partition('"')[0]
            if other not in found:
                found.add(other)
                open_ends.append(other)
    return found


def _cluster_scoped(paths: Tree) -> set[tuple[str, str]]:
    scoped: dict[tuple[str, str], bool] = {}
    for path, methods in paths.items():
        gvk = dig(methods, "post", "x-kubernetes-group-version-kind") or dig(
            methods, "put", "x-kubernetes-group-version-kind"
        )
        if gvk:
            key = (gvk["group"], gvk["kind"])
            scoped[key] = scoped.get(key, False) or "{namespace}" in path
    return {key for key, namespaced in scoped.items() if not namespaced} | {("", "Namespace")}


@dataclass(frozen=True)
class Definition:
    """The schema of one version of a custom resource."""

    group: str
    kind: str
    file: str
    cluster_scoped: bool
    schema: Tree


def from_crds(documents: Iterable[Tree]) -> Iterator[Definition]:
    """One strict schema for each version of each CustomResourceDefinition; what has no schema is left out."""
    for spec in (tree(crd.get("spec")) for crd in documents if crd.get("kind") == "CustomResourceDefinition"):
        group, kind = str(spec.get("group")), str(dig(spec, "names", "kind"))
        for version in trees(spec.get("versions")):
            schema = strict_crd(tree(dig(version, "schema", "openAPIV3Schema")))
            schema.setdefault("properties", {}).update({"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}})
            file = file_name(f"{group}/{version.get('name')}", kind)
            yield Definition(group, kind, file, spec.get("scope") == "Cluster", schema)


def write_from_crds(documents: Iterable[Tree], folder: Path) -> None:
    """Write the schemas of CustomResourceDefinitions, and the list of cluster-scoped kinds."""
    definitions = list(from_crds(documents))
    for each in definitions:
        (folder / each.file).write_text(json.dumps(each.schema))
    cluster_scoped = {(each.group, each.kind) for each in definitions if each.cluster_scoped}
    (folder / "cluster-scoped.json").write_text(json.dumps(sorted(cluster_scoped)))


def strict_crd(schema: Tree) -> Tree:
    """A structural schema as JSON schema that refuses unknown fields, as the API server's strict validation does."""
    if schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    skip = ("x-", "description", "default", "nullable", "format", "example", "title")
    strict = {key: value for key, value in schema.items() if not key.startswith(skip)}
    if "properties" in strict:
        strict["properties"] = {name: strict_crd(each) for name, each in strict["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict.setdefault("additionalProperties", False)
    for nested in ("items", "additionalProperties", "not"):
        if isinstance(strict.get(nested), dict):
            strict[nested] = strict_crd(strict[nested]) if nested != "not" else strict[nested]
    return strict
