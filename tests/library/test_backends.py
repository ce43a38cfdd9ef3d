import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shakedown.backends import TENSORFLOW, TORCHSERVE, WIRES
from shakedown.settings import NAMES, Backend, Ports, load

PROJECT = Path(__file__).parents[2]
IMAGES = np.array([[0.0, 0.5], [1.0, 0.25]], dtype=np.float32)


def described(version: str, *workers: str, least: int = 1) -> dict[str, Any]:
    """One version as TorchServe's management API describes it."""
    return {"modelVersion": version, "minWorkers": least, "workers": [{"status": status} for status in workers]}


def test_every_back_end_that_can_be_asked_for_has_a_wire_and_names() -> None:
    assert set(WIRES) == {str(each) for each in Backend} == set(NAMES)


@pytest.mark.parametrize(
    ("workers", "state"),
    [
        (("READY",), "AVAILABLE"),
        (("READY", "UNLOADING"), "READY and UNLOADING"),
        (("UNLOADING",), "UNLOADING"),
        ((), "without workers"),
    ],
)
def test_a_torchserve_version_is_available_only_with_all_of_its_workers(workers: tuple[str, ...], state: str) -> None:
    assert TORCHSERVE.states([described("1.0", *workers)]) == {1: state}


def test_a_torchserve_version_with_fewer_workers_than_wanted_is_not_available() -> None:
    assert TORCHSERVE.states([described("2.0", "READY", least=2)]) == {2: "READY"}


def test_tensorflow_names_its_states_itself() -> None:
    told = {"model_version_status": [{"version": "2", "state": "AVAILABLE"}, {"version": "1", "state": "END"}]}
    assert TENSORFLOW.states(told) == {2: "AVAILABLE", 1: "END"}


def test_paths_name_the_version_where_one_is_asked_for() -> None:
    assert TENSORFLOW.prediction_path("m") == "/v1/models/m:predict"
    assert TENSORFLOW.prediction_path("m", 3) == "/v1/models/m/versions/3:predict"
    assert TORCHSERVE.prediction_path("m") == "/predictions/m"
    assert TORCHSERVE.prediction_path("m", 3) == "/predictions/m/3.0"


@pytest.mark.parametrize("name", WIRES)
def test_rows_of_pixels_go_out_and_rows_of_probabilities_come_back(name: str) -> None:
    assert WIRES[name].question(IMAGES) == {"instances": [[0.0, 0.5], [1.0, 0.25]]}
    found = WIRES[name].answers({"predictions": [[0.1, 0.9]]})
    assert found.dtype == np.float32
    assert found.shape == (1, 2)


def test_the_model_is_taken_out_of_the_configuration_that_ships() -> None:
    manifests = PROJECT / "manifests"
    files = {
        "tensorflow": manifests / "base" / "serving" / "config" / "models.config",
        "torchserve": manifests / "overlays" / "torchserve" / "config" / "config.properties",
    }
    assert set(files) == set(WIRES)
    for name, file in files.items():
        assert "no-such-model" in WIRES[name].without_model(file.read_text(), "digits"), name


def test_a_back_ends_names_hold_where_the_settings_name_no_others(tmp_path: Path) -> None:
    file = tmp_path / "shakedown.toml"
    file.write_text('backend = "torchserve"\n[deployment]\nworkload = "mine"\n')
    found = load({}, {}, file).deployment
    assert (found.workload, found.service, found.ports) == ("mine", "torchserve", Ports(8080, 0, 8081, 8082))
    assert found.public_ports == (8080,)
    assert load({"backend": "tensorflow"}, {}, file).deployment.service == "tensorflow-serving"


def test_what_a_back_end_lacks_is_a_suite_a_file_of_one_or_what_a_test_is_marked_to_ask_for() -> None:
    tests = sorted((PROJECT / "suites").glob("*/test_*.py"))
    places = {each.parent.name for each in tests} | {f"{each.parent.name}/{each.stem}" for each in tests}
    marks = [re.findall(r"asks_for\(([^)]*)\)", each.read_text()) for each in tests]
    marked = {name for found in marks for each in found for name in re.findall(r'"([^"]+)"', each)}
    lacked = {name for wire in WIRES.values() for name in wire.lacks}
    assert marked
    assert lacked - places == marked, "a name that nobody asks for, or that no back end lacks, is misspelt"
