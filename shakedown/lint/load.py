import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shakedown.lint.objects import Json, Obj, Tree, trees

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
SUFFIXES = {".yaml", ".yml", ".json"}
UNIT_TESTS = "*.promtest.yaml"
WORKFLOWS = ".github/workflows"
# what the largest charts expand to is below a tenth of this
MOST_NODES = 2_000_000
RENDER_S = 60


class BadInput(Exception):
    """The manifests can't be read; the message names the file and the line and says what to do."""


@dataclass(frozen=True)
class Source:
    """What one `--manifests` argument holds: its documents, and the promtool unit tests beside them."""

    documents: tuple[tuple[Tree, str], ...]
    unit_tests: tuple[Path, ...]

    def definitions(self) -> list[Tree]:
        """The CustomResourceDefinitions among the documents."""
        return [data for data, _ in self.documents if data.get("kind") == "CustomResourceDefinition"]

    def objects(self, cluster_scoped: frozenset[tuple[str, str]]) -> list[Obj]:
        """The documents as objects; `cluster_scoped` holds (group, kind) of what has no namespace."""
        return [Obj(data, source, _group_kind(data) in cluster_scoped) for data, source in self.documents]


def _group_kind(data: Tree) -> tuple[str, str]:
    return str(data.get("apiVersion")).rpartition("/")[0], str(data.get("kind"))


Find = Callable[[], Path]


def no_kubectl() -> Path:
    """Nobody knows of a kubectl beside the PATH. Raises BadInput."""
    raise BadInput("neither kustomize nor kubectl is on the PATH: install one, or give rendered manifests")


def read(path: Path, kubectl: Find = no_kubectl) -> Source:
    """Read a multi-document file, a folder of them, or a kustomization, which is rendered first.

    `kubectl` is asked for where a kustomization is to be rendered and the PATH holds no program for it.
    Raises BadInput for what is missing, broken, empty or no object.
    """
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder; give rendered manifests or a kustomization")
    documents = tuple(_documents(path, kubectl))
    if not documents:
        raise BadInput(f"{path}: holds no objects; give rendered manifests, a folder of them or a kustomization")
    tests = {test for folder in _folders(path) for test in folder.rglob(UNIT_TESTS)} if path.is_dir() else set()
    return Source(documents, tuple(sorted(tests)))


def _folders(path: Path) -> Iterator[Path]:
    """A folder, and every local folder that its kustomization builds on: unit tests lie beside the rules."""
    yield path
    for file in (path / name for name in KUSTOMIZATIONS if (path / name).is_file()):
        listed = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for each in [*(listed.get("resources") or []), *(listed.get("components") or [])]:
            if (path / str(each)).is_dir():
                yield from _folders((path / str(each)).resolve())


def _documents(path: Path, kubectl: Find) -> Iterator[tuple[Tree, str]]:
    if path.is_file():
        yield from parse(_text(path), str(path))
    elif any((path / name).is_file() for name in KUSTOMIZATIONS):
        yield from parse(render(path, kubectl), str(path))
        for file in sorted((path / WORKFLOWS).glob("*.y*ml")):
            yield from parse(_text(file), str(file))
    else:
        for file in sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES and not f.match(UNIT_TESTS)):
            yield from parse(_text(file), str(file))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: can't be read as UTF-8 text: {error}") from error


def render(kustomization: Path, kubectl: Find = no_kubectl) -> str:
    """What a kustomization renders to, as multi-document YAML: by kustomize or kubectl on the PATH, or `kubectl()`.

    Raises BadInput where none is there or the rendering fails.
    """
    program = shutil.which("kustomize")
    command = [program, "build"] if program else [shutil.which("kubectl") or str(kubectl()), "kustomize"]
    try:
        done = subprocess.run(
            [*command, str(kustomization)], capture_output=True, text=True, timeout=RENDER_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"{kustomization}: not rendered in {RENDER_S} s; are remote bases reachable?") from error
    if done.returncode:
        raise BadInput(f"{kustomization}: does not render: {done.stderr.strip()}")
    return done.stdout


def with_components(folder: Path, overlay: Path, *components: Path) -> Path:
    """An empty folder, made a kustomization of an overlay with components on top."""
    resource, *rest = (os.path.relpath(path, folder.resolve()) for path in (overlay.resolve(), *components))
    document = {"resources": [resource], "components": rest}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return folder


def parse(text: str, source: str) -> Iterator[tuple[Tree, str]]:
    """The objects of a multi-document text, lists taken apart, each with its place. Raises BadInput."""
    try:
        loader = _Loader(text)
        while loader.check_node():
            node: yaml.Node = loader.get_node()  # type: ignore[assignment]  # check_node() says that there is one
            where = f"{source}:{node.start_mark.line + 1}"
            if "*" in text and expanded_nodes(node) > MOST_NODES:
                raise BadInput(
                    f"{where}: YAML aliases expand to more than {MOST_NODES} values; write the document without aliases"
                )
            yield from _objects(loader.construct_document(node), where)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        hint = "; it looks like a template: render it first" if "{{" in text else ""
        raise BadInput(f"{source}{line}: is not YAML that Kubernetes takes: {error.problem}{hint}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{source}: is not YAML that Kubernetes takes: {error}") from error
    except RecursionError as error:
        raise BadInput(f"{source}: is nested too deeply; no Kubernetes object is") from error
    except ValueError as error:
        raise BadInput(f"{source}: holds a value that can't be read: {error}") from error


def _objects(document: Json, where: str) -> Iterator[tuple[Tree, str]]:
    if document is None:
        return
    if not isinstance(document, dict):
        kind = {"str": "a text", "list": "a list"}.get(type(document).__name__, f"a {type(document).__name__}")
        raise BadInput(f"{where}: {kind} and not an object; each document needs apiVersion, kind and metadata")
    if "jobs" in document and ("on" in document or True in document):
        name = Path(where.rpartition(":")[0]).name
        document = {
            "on" if key is True else str(key): value for key, value in document.items()
        }  # YAML 1.1 reads `on` so
        yield {"apiVersion": "github.com/v1", "kind": "Workflow", "metadata": {"name": name}, "spec": document}, where
        return
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str) or not document[field]:
            raise BadInput(f"{where}: an object without {field}; Kubernetes objects have apiVersion, kind and metadata")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in trees(document["items"]):
            yield from _objects(item, where)
    else:
        yield _without_nulls(document), where


def _without_nulls(value: Json) -> Json:
    """The value without null fields, which the API server drops too."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def expanded_nodes(root: yaml.Node) -> int:
    """How many values a node stands for once its aliases are written out; a cycle counts as too many."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = MOST_NODES + 1  # seen again before it is known: a cycle
            children = [n for pair in node.value for n in pair] if isinstance(node, yaml.MappingNode) else []
            children = node.value if isinstance(node, yaml.SequenceNode) else children
            sizes[id(node)] = 1 + sum(size(child) for child in children)
        return sizes[id(node)]

    return size(root)


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: timestamps and a lone = stay text, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # the base class's signature
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands twice; only the last would count", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value"))]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
