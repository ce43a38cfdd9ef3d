from pathlib import Path

import pytest

from shakedown.lint.load import BadInput, parse, read, render

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no objects"),
        ("# nothing\n---\n---\n", "holds no objects"),
        ("kind: [unclosed", "is not YAML"),
        ("- a list\n", "a list and not an object"),
        ("just text\n", "a text and not an object"),
        ("42\n", "a int and not an object"),
        ("kind: Service\nmetadata: {name: a}\n", "without apiVersion"),
        ("apiVersion: v1\nkind: 3\n", "without kind"),
        ("apiVersion: v1\nkind: Pod\nkind: Service\n", "stands twice"),
        ("apiVersion: v1\nkind: !!python/object:os.system Pod\n", "is not YAML"),
        ("apiVersion: v1\nkind: Pod\nx: &x\n  y: *x\n", "aliases expand"),
        (BOMB, "aliases expand"),
        ("[" * 5000, "is n"),
        ("a: \x01\n", "is not YAML"),
        ("metadata: {name: {{ .Release.Name }}}\n", "a template: render it first"),
    ],
)
def test_bad_input_is_refused_with_its_place_and_reason(tmp_path: Path, text: str, says: str) -> None:
    """Whatever is given, the answer is a sentence with the file in it, never a traceback."""
    file = tmp_path / "given.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=says) as refused:
        read(file)
    assert str(file) in str(refused.value)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        read(tmp_path / "nothing.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "given.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="UTF-8"):
        read(file)


def test_a_kustomization_that_does_not_render_is_refused_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(BadInput, match="does not render"):
        read(tmp_path)


def test_a_list_is_taken_apart_and_timestamps_stay_text() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, data: {at: 2026-01-01}}\n"
    (found,) = parse(text, "given")
    assert found[0]["data"]["at"] == "2026-01-01"


def test_every_object_knows_its_line() -> None:
    text = "apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n"
    assert [where for _, where in parse(text, "given")] == ["given:1", "given:4"]


def test_unit_tests_beside_the_rules_that_an_overlay_builds_on_are_found(tmp_path: Path) -> None:
    base, overlay = tmp_path / "base", tmp_path / "overlays" / "x"
    (base / "tests").mkdir(parents=True)
    overlay.mkdir(parents=True)
    (base / "object.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    (base / "kustomization.yaml").write_text("resources: [object.yaml]\n")
    (base / "tests" / "a.promtest.yaml").write_text("tests: []\n")
    (overlay / "kustomization.yaml").write_text("resources: [../../base]\n")
    assert read(overlay).unit_tests == ((base / "tests" / "a.promtest.yaml").resolve(),)


def test_without_a_program_on_the_path_the_one_that_is_offered_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    program = tmp_path / "a-kubectl"
    program.write_text('#!/bin/sh\necho "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $1}"\n')
    program.chmod(0o755)
    assert render(tmp_path, lambda: program).endswith("metadata: {name: kustomize}\n")
    with pytest.raises(BadInput, match="neither kustomize nor kubectl is on the PATH"):
        render(tmp_path)
