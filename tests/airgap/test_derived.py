"""An image on top of another: what its archive holds, and what it leaves to the nodes."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from airgap import derived
from airgap.cache import BuildError
from airgap.layers import Image

BASE_LAYER = "sha256:" + "b" * 64
CONFIG = {"config": {"Env": ["A=1"]}, "rootfs": {"type": "layers", "diff_ids": [BASE_LAYER]}}
KIND = "application/vnd.oci.image.manifest.v1+json"
MANIFEST = {"mediaType": KIND, "config": {"digest": "c", "size": 1}, "layers": [{"digest": BASE_LAYER, "size": 9}]}


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("server:1", "docker.io/library/server:1"),
        ("shakedown/server:1", "docker.io/shakedown/server:1"),
        ("models.example/a/server:1", "models.example/a/server:1"),
        ("localhost/server:1", "localhost/server:1"),
    ],
)
def test_a_name_is_completed_as_containerd_does(image: str, full: str) -> None:
    assert derived.full(image) == full


def test_the_archive_holds_what_is_new_and_names_what_is_not(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(derived, "nodes", lambda _: ["node"])
    monkeypatch.setattr(derived, "parts_of", lambda *_: json.loads(json.dumps([MANIFEST, CONFIG])))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "notes").write_text("new")
    derived.build("c", "server:1", "server:2", tmp_path / "tree", tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as tar:
        held = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    entry = json.loads(held["index.json"])["manifests"][0]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/server:2"

    def blob(digest: str) -> bytes:
        found = held[f"blobs/sha256/{digest.removeprefix('sha256:')}"]
        assert hashlib.sha256(found).hexdigest() == digest.removeprefix("sha256:")
        return found

    manifest = json.loads(blob(entry["digest"]))
    assert manifest["layers"][0]["digest"] == BASE_LAYER
    assert len(held) == 5, "index, layout, manifest, configuration, and the one layer that is new"
    config = json.loads(blob(manifest["config"]["digest"]))
    layer = blob(manifest["layers"][1]["digest"])
    assert config["rootfs"]["diff_ids"] == [BASE_LAYER, f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"] == CONFIG["config"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getnames() == ["notes"]


def test_nothing_new_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="holds nothing"):
        derived.build("c", "a:1", "a:2", tmp_path, tmp_path / "image.tar")


def test_a_whole_image_is_given_to_the_workers_that_lack_it_and_to_nobody_else(monkeypatch: Any) -> None:
    image, asked = Image("docker.io/shakedown/x:1", (), ()), []
    held = {"old": "sha256:0", "has-it": f"sha256:{image.id()}"}

    def parts(node: str, _: str) -> tuple[dict[str, Any], dict[str, Any]]:
        if node not in held:
            raise BuildError("no such image")
        return {"config": {"digest": held[node]}}, {}

    def nodes(_: str, role: str) -> list[str]:
        return {"worker": ["has-it", "old", "without"]}[role]

    monkeypatch.setattr(derived, "nodes", nodes)
    monkeypatch.setattr(derived, "parts_of", parts)
    monkeypatch.setattr(derived, "feed", lambda command, images, **_: asked.append((command[3], images)))
    derived.provide("c", image)
    assert asked == [("old", [image]), ("without", [image])]
