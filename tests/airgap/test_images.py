"""The catalogue, and what goes into images, without building any."""

import re
from pathlib import Path

import pytest

from airgap import cache, crds, golang, images, programs, serving
from airgap.cache import BuildError, NotBuiltError, nothing_built
from airgap.layers import Image

GOMOD = Path(golang.GOMOD)


def test_an_image_that_no_recipe_makes_is_named_before_anything_is_built() -> None:
    with pytest.raises(BuildError, match=r"no recipe for the image docker\.io/library/nginx:1;"):
        images.ensure([*images.CATALOGUE, "docker.io/library/nginx:1"])


def test_images_that_are_built_are_counted_and_those_that_are_there_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(name: str) -> Image:
        cache.artefact(name, {}, lambda folder: (folder / "made").touch())
        return Image(name, (), ())

    names = ("one", "two", "three")
    monkeypatch.setattr(images, "CATALOGUE", {name: images.Recipe(name, build) for name in names})
    images.ensure(["two"])
    assert "image 1 of 1 that are not there yet: two\n" in capsys.readouterr().err
    assert [made.name for made in images.ensure(names)] == list(names)
    said = [line for line in capsys.readouterr().err.splitlines() if "not there yet" in line]
    assert said == [
        f"shakedown: image {n} of 2 that are not there yet: {name}" for n, name in ((1, "one"), (2, "three"))
    ]


def test_every_name_in_the_catalogue_is_full_with_a_fixed_tag() -> None:
    loose = [name for name in images.CATALOGUE if not re.fullmatch(r"[a-z0-9.]+\.[a-z]+/[^:]+:v?[0-9][^:]*", name)]
    assert images.CATALOGUE
    assert loose == []


def test_kubeadms_images_are_there_under_the_names_it_asks_for() -> None:
    wanted = {
        f"registry.k8s.io/kube-{part}:v1.34.4" for part in ("apiserver", "controller-manager", "scheduler", "proxy")
    }
    wanted |= {
        "registry.k8s.io/etcd:3.6.5-0",
        "registry.k8s.io/coredns/coredns:v1.12.1",
        "registry.k8s.io/pause:3.10.1",
    }
    assert wanted <= {recipe.name for recipe in images.SYSTEM}


def test_manifests_and_catalogue_agree_on_the_pod_networks_image() -> None:
    manifest = (Path(images.__file__).parent / "node" / "default-cni.yaml").read_text()
    (used,) = re.findall(r"image: (\S+)", manifest)
    assert used in {recipe.name for recipe in images.SYSTEM}


def test_containerd_and_catalogue_agree_on_the_pause_image() -> None:
    config = (Path(images.__file__).parent / "node" / "containerd.toml").read_text()
    (used,) = re.findall(r'sandbox_image = "(\S+)"', config)
    assert used in {recipe.name for recipe in images.SYSTEM}


def test_the_oldest_go_that_is_accepted_can_build_every_module() -> None:
    asked = [
        tuple(int(part) for part in re.findall(r"^go ([\d.]+)$", file.read_text(), re.MULTILINE)[0].split("."))
        for file in GOMOD.glob("*/go.mod")
    ]
    assert max(asked) == golang.OLDEST_GO


def test_every_go_module_pins_the_sums_of_what_it_uses() -> None:
    loose = [
        file.parent.name
        for file in GOMOD.glob("*/go.mod")
        if "require" in file.read_text() and not (file.parent / "go.sum").read_text().strip()
    ]
    asked = {program.module for program in vars(programs).values() if isinstance(program, golang.Program)}
    assert {folder.name for folder in GOMOD.iterdir()} == asked
    assert loose == []


def test_the_version_that_kubernetes_is_told_is_the_one_it_is_built_from() -> None:
    assert f"require k8s.io/kubernetes {programs.KUBERNETES_VERSION} " in (GOMOD / "kubernetes" / "go.mod").read_text()


@pytest.mark.parametrize(
    ("module", "path", "version"),
    [
        ("prometheus", "github.com/prometheus/prometheus", f"0.{programs.PROMETHEUS_VERSION.replace('.', '', 1)}"),
        ("alertmanager", "github.com/prometheus/alertmanager", programs.ALERTMANAGER_VERSION),
        (
            "prometheus-operator",
            "github.com/prometheus-operator/prometheus-operator",
            programs.PROMETHEUS_OPERATOR_VERSION,
        ),
        ("blackbox-exporter", "github.com/prometheus/blackbox_exporter", programs.BLACKBOX_EXPORTER_VERSION),
        ("kube-state-metrics", "k8s.io/kube-state-metrics/v2", programs.KUBE_STATE_METRICS_VERSION),
        ("metrics-server", "sigs.k8s.io/metrics-server", programs.METRICS_SERVER_VERSION),
        ("prometheus-adapter", "sigs.k8s.io/prometheus-adapter", programs.PROMETHEUS_ADAPTER_VERSION),
    ],
)
def test_a_monitoring_images_tag_is_the_version_that_it_is_built_from(module: str, path: str, version: str) -> None:
    text = (GOMOD / module / "go.mod").read_text()
    assert re.search(rf"^(require |\t){re.escape(path)} v{re.escape(version)}$", text, re.MULTILINE)


def test_the_operator_and_its_definitions_are_of_one_version() -> None:
    assert crds.PROMETHEUS_OPERATOR.version == f"v{programs.PROMETHEUS_OPERATOR_VERSION}"


def test_a_missing_program_is_not_built_where_nothing_may_be() -> None:
    with nothing_built(), pytest.raises(NotBuiltError, match="go-kind is not in the cache"):
        golang.build_program(programs.KIND)


def test_requirements_are_those_of_the_images_python_whatever_runs_the_build() -> None:
    text = """# a comment
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via tensorflow
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:cc
wrapt==2.5.2 \\
    --hash=sha256:dd
"""
    assert serving.requirements_of(text).splitlines() == [
        "numpy==2.4.6 --hash=sha256:aa --hash=sha256:bb",
        "wrapt==2.5.2 --hash=sha256:dd",
    ]


def test_every_requirement_of_the_server_is_pinned_with_hashes() -> None:
    lines = serving.requirements_of(serving.REQUIREMENTS.read_text()).splitlines()
    assert len(lines) > 10
    assert [line for line in lines if not re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", line)] == []
