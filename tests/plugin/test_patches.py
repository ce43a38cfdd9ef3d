"""A patch that can't be read ends the run before it starts, and is named."""

from pathlib import Path

import pytest

from fixtures.stack import patches_of


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"", "must be a patch"),
        (b"[1]\n", "must be a patch"),
        (b"\xcb\x00", "is no YAML"),
        (b"a: [", "is no YAML"),
    ],
)
def test_file_that_is_no_patch_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "break.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(pytest.UsageError, match=said) as refused:
        patches_of([file])
    assert str(file) in str(refused.value)


def test_every_document_of_every_file_is_taken(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("kind: A\n---\nkind: B\n")
    two.write_text("kind: C\n")
    assert [patch["kind"] for patch in patches_of([one, two])] == ["A", "B", "C"]
