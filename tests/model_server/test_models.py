"""The model configuration and the life of versions; one server is reconfigured by each test."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2

from models.golden import TOLERANCE, Golden
from tests.model_server.client import Client, Process, error_of, until

NEVER_RETRY = "--max_num_load_retries=0"


@pytest.fixture(scope="module")
def admin(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that takes configurations over gRPC."""
    server = Process(tmp_path_factory.mktemp("admin"), f"--model_base_path={digits}", NEVER_RETRY)
    try:
        yield server.ready()
    finally:
        server.kill()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty base path."""
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def put(source: Path, store: Path, version: str) -> None:
    """Write beside and rename, as an import must."""
    shutil.copytree(source, store.parent / f"beside-{version}")
    (store.parent / f"beside-{version}").rename(store / version)


def reload(client: Client, *models: str) -> tuple[int, str]:
    """Reconfigure; returns the answer's code and text."""
    request = model_management_pb2.ReloadConfigRequest()
    configs = " ".join(f'config {{ model_platform: "tensorflow" {model} }}' for model in models)
    text_format.Parse(f"model_config_list {{ {configs} }}", request.config)
    status = client.models.HandleReloadConfigRequest(request, timeout=20).status
    return status.error_code, status.error_message


def states(client: Client, model: str) -> Mapping[int, str]:
    found = client.get(f"/v1/models/{model}")
    return {int(one["version"]): one["state"] for one in found.json().get("model_version_status", [])}


def error_text(client: Client, model: str, version: int) -> Any:
    return client.get(f"/v1/models/{model}/versions/{version}").json()["model_version_status"][0]["status"]


def served(client: Client, path: str, golden: Golden) -> int:
    """Which version's golden answers come back."""
    found = client.post(f"/v1/models/{path}:predict", {"instances": golden.images[:8].tolist()})
    answers = np.array(found.json()["predictions"], np.float32)
    fits = [
        version
        for version, expected in golden.versions.items()
        if np.allclose(answers, expected.probabilities[:8], rtol=0, atol=TOLERANCE)
    ]
    assert len(fits) == 1
    return fits[0]


@pytest.fixture(scope="module")
def golden(digits: Path) -> Golden:
    return Golden.load(digits.parent)


def test_by_default_the_latest_version_is_served(admin: Client, digits: Path, golden: Golden) -> None:
    assert reload(admin, f'name: "d" base_path: "{digits}"') == (0, "")
    assert states(admin, "d") == {2: "AVAILABLE"}
    assert served(admin, "d", golden) == 2


def test_specific_versions_and_their_labels_each_answer_with_their_own(
    admin: Client, digits: Path, golden: Golden
) -> None:
    both = f'name: "s" base_path: "{digits}" model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}'
    labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
    code, text = reload(admin, f"{both} {labels}")
    assert (code, "which is not currently available for inference" in text) == (9, True)
    assert reload(admin, both) == (0, "")
    assert reload(admin, f"{both} {labels}") == (0, "")
    assert list(states(admin, "s")) == [2, 1]
    paths = ["s/versions/1", "s/versions/2", "s/labels/stable", "s/labels/canary", "s"]
    assert [served(admin, path, golden) for path in paths] == [1, 2, 1, 2, 2]


def test_all_versions_can_be_served(admin: Client, digits: Path) -> None:
    assert reload(admin, f'name: "a" base_path: "{digits}" model_version_policy {{ all {{}} }}') == (0, "")
    assert states(admin, "a") == {2: "AVAILABLE", 1: "AVAILABLE"}


def test_a_model_that_leaves_the_configuration_is_unloaded_and_its_end_stays(admin: Client, digits: Path) -> None:
    reload(admin, f'name: "gone" base_path: "{digits}"')
    reload(admin, f'name: "other" base_path: "{digits}"')
    assert states(admin, "gone") == {2: "END"}
    assert admin.predict("gone", {"instances": [[0.0] * 784]}).status_code == 404


def test_a_new_version_takes_over_and_the_old_one_ends(
    admin: Client, digits: Path, store: Path, golden: Golden
) -> None:
    put(digits / "1", store, "1")
    put(digits / "1", store, "not-a-number")
    reload(admin, f'name: "t" base_path: "{store}"')
    assert served(admin, "t", golden) == 1
    put(digits / "2", store, "2")
    until(lambda: states(admin, "t") == {2: "AVAILABLE", 1: "END"})
    assert served(admin, "t", golden) == 2


def test_a_version_that_refused_requests_ends_as_well(admin: Client, digits: Path) -> None:
    reload(admin, f'name: "refused" base_path: "{digits}"')
    for _ in range(20):
        with pytest.raises(grpc.RpcError, match="Matrix size-incompatible"):
            admin.grpc_predict("refused", {"image": np.zeros((1, 100), np.float32)})
    reload(admin, f'name: "other" base_path: "{digits}"')
    until(lambda: states(admin, "refused") == {2: "END"})


BROKEN = {
    "truncated": "INVALID_ARGUMENT",
    "no-variables": "FAILED_PRECONDITION",
    "bad-warm-up": "FAILED_PRECONDITION",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_version_ends_with_its_error_and_the_old_one_keeps_serving(
    admin: Client, digits: Path, store: Path, golden: Golden, name: str
) -> None:
    put(digits / "1", store, "1")
    reload(admin, f'name: "b-{name}" base_path: "{store}"')
    put(digits.parent / "spoiled" / name, store, "2")
    until(lambda: states(admin, f"b-{name}") == {2: "END", 1: "AVAILABLE"})
    assert error_text(admin, f"b-{name}", 2)["error_code"] == BROKEN[name]
    assert error_text(admin, f"b-{name}", 2)["error_message"]
    assert served(admin, f"b-{name}", golden) == 1


def test_a_configuration_whose_model_does_not_load_answers_with_the_reason(
    admin: Client, digits: Path, store: Path
) -> None:
    put(digits.parent / "spoiled" / "truncated", store, "1")
    code, text = reload(admin, f'name: "never" base_path: "{store}"')
    assert code == 2
    assert text.startswith("1 servable(s) did not become available: {{{name: never version: 1} due to error: ")


def test_a_missing_base_path_stops_the_poll_for_all_and_what_serves_goes_on(
    admin: Client, digits: Path, store: Path, golden: Golden
) -> None:
    put(digits / "1", store, "1")
    lost = store.parent / "lost"
    shutil.copytree(digits / "1", lost / "1")
    reload(admin, f'name: "kept" base_path: "{store}"', f'name: "lost" base_path: "{lost}"')
    shutil.rmtree(lost)
    put(digits / "2", store, "2")
    until_polled(admin)
    assert states(admin, "kept") == {1: "AVAILABLE"}
    assert served(admin, "lost", golden) == 1
    lost.mkdir()
    until(lambda: states(admin, "kept") == {2: "AVAILABLE", 1: "END"})


def until_polled(admin: Client) -> None:
    """Long enough for two rounds of the poll, once a second."""
    seen: list[int] = []

    def twice() -> bool:
        seen.append(1)
        return len(seen) > 2.5 / 0.05

    until(twice)
    assert admin.get("/v1/models/kept").status_code == 200


def test_an_empty_base_path_unloads_the_model(admin: Client, digits: Path, store: Path) -> None:
    put(digits / "1", store, "1")
    reload(admin, f'name: "emptied" base_path: "{store}"')
    shutil.rmtree(store / "1")
    until(lambda: states(admin, "emptied") == {1: "END"})
    found = error_of(admin.predict("emptied", {"instances": [[0.0] * 784]}))
    assert found == (404, "Servable not found for request: Latest(emptied)")


def test_batch_and_single_answers_agree_with_the_golden_ones(admin: Client, digits: Path, golden: Golden) -> None:
    reload(admin, f'name: "g" base_path: "{digits}"')
    whole = admin.predict("g", {"instances": golden.images.tolist()}).json()["predictions"]
    single = [admin.predict("g", {"instances": [image.tolist()]}).json()["predictions"][0] for image in golden.images]
    np.testing.assert_allclose(whole, golden.versions[2].probabilities, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(single, whole, rtol=0, atol=TOLERANCE)
