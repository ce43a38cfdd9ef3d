"""What `shakedown init` reads out of manifests is what they say, and a file that the settings take."""

from pathlib import Path

import pytest

from fixtures.static import offline_kubectl
from shakedown import settings
from shakedown.lint.load import Source, parse, read
from shakedown.propose import NothingToPropose, propose
from shakedown.settings import Deployment, Provider, Settings, SettingsError

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "examples" / "label-reader-on-kind"


def taken(text: str, folder: Path) -> Settings:
    file = folder / "proposed.toml"
    file.write_text(text)
    return settings.load({"kube_context": "there"}, {}, file)


def rendered(path: Path) -> Source:
    return read(path, offline_kubectl)


def test_what_is_proposed_for_the_example_is_the_file_beside_it(tmp_path: Path) -> None:
    proposed = taken(propose(rendered(EXAMPLE)), tmp_path)
    kept = settings.load({"kube_context": "there"}, {}, EXAMPLE / "shakedown.toml")
    assert proposed.deployment == kept.deployment
    assert proposed.objectives == kept.objectives
    assert proposed.cluster_provider is kept.cluster_provider is Provider.EXISTING


def test_this_projects_own_manifests_are_the_defaults(tmp_path: Path) -> None:
    proposed = taken(propose(rendered(PROJECT / "manifests" / "overlays" / "production")), tmp_path)
    assert proposed.deployment == Deployment()
    assert proposed.objectives == settings.Objectives()


SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: here}}
spec:
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: s, image: "tensorflow/serving:2.19.1", env: [{{name: MODEL_NAME, value: cats}}]}}]}}
"""


def of(*names: str) -> Source:
    text = "---".join(SERVER.format(name=name) for name in names)
    return Source(tuple(parse(text, "given.yaml")), ())


def test_a_server_without_service_route_or_autoscaler_is_proposed_too(tmp_path: Path) -> None:
    text = propose(of("cat-reader"))
    assert "whole_door = false # no route leads to the Service\n" in text
    found = taken(text, tmp_path)
    assert (found.deployment.workload, found.deployment.model) == ("cat-reader", "cats")
    assert found.deployment.monitoring == ""
    assert not found.deployment.whole_door
    assert found.objectives.replicas == 1


def test_of_several_servers_one_must_be_chosen() -> None:
    with pytest.raises(NothingToPropose, match=r"choose one with --workload: \['a', 'b'\]"):
        propose(of("a", "b"))
    assert 'workload = "b"' in propose(of("a", "b"), "b")
    with pytest.raises(NothingToPropose, match=r"no Deployment c runs a model server, .*; what runs one: Deployment a"):
        propose(of("a"), "c")


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no file"):
        settings.load({}, {}, tmp_path / "nowhere.toml")
