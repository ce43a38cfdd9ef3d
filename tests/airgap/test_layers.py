import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

from airgap.layers import Image, Layer, layer, write_archive


def some_layer(name: str = "some", text: str = "hello") -> Layer:
    def fill(tree: Path) -> None:
        (tree / "etc").mkdir()
        (tree / "etc" / name).write_text(text)
        (tree / "bin").symlink_to("usr/bin")

    return layer(name, {"text": text}, fill)


def archive_of(*images: Image) -> dict[str, bytes]:
    stream = io.BytesIO()
    write_archive(images, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        return {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry))}


def test_a_layer_is_named_by_the_digest_of_its_bytes() -> None:
    made = some_layer()
    assert made.digest == hashlib.sha256(made.tar.read_bytes()).hexdigest()


def test_the_same_contents_make_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    def fill(tree: Path) -> None:
        for name in ("b", "a"):
            (tree / name).write_text(name)
            os.utime(tree / name, (len(list(tmp_path.iterdir())), 5))

    assert layer("one", {}, fill).digest == layer("two", {}, fill).digest


def test_a_layer_keeps_links_and_modes() -> None:
    def fill(tree: Path) -> None:
        (tree / "program").write_text("#!/bin/sh")
        (tree / "program").chmod(0o755)
        (tree / "link").symlink_to("program")

    with tarfile.open(layer("modes", {}, fill).tar) as tar:
        assert tar.getmember("program").mode == 0o755
        assert tar.getmember("link").linkname == "program"


def test_an_archive_holds_each_image_and_a_shared_layer_once() -> None:
    shared, own = some_layer(), some_layer("own")
    one = Image("docker.io/shakedown/one:1", (shared,), ("/one",))
    two = Image("docker.io/shakedown/two:1", (shared, own), ("/two",), user="7")
    files = archive_of(one, two)
    manifest = json.loads(files["manifest.json"])
    assert [entry["RepoTags"] for entry in manifest] == [[one.name], [two.name]]
    assert [entry["Layers"] for entry in manifest] == [
        [f"{shared.digest}.tar"],
        [f"{shared.digest}.tar", f"{own.digest}.tar"],
    ]
    assert sorted(name for name in files if name.endswith(".tar")) == sorted(
        [f"{shared.digest}.tar", f"{own.digest}.tar"]
    )


def test_an_images_id_is_the_digest_of_what_the_archive_says_of_it() -> None:
    image = Image("docker.io/shakedown/one:1", (some_layer(),), ("/one",), ("--flag",), user="65532")
    config = archive_of(image)[f"{image.id()}.json"]
    assert hashlib.sha256(config).hexdigest() == image.id()
    said = json.loads(config)
    assert said["rootfs"]["diff_ids"] == [f"sha256:{image.layers[0].digest}"]
    assert (said["config"]["Entrypoint"], said["config"]["Cmd"]) == (["/one"], ["--flag"])
    assert said["config"]["User"] == "65532"
