"""One server for the whole session, or the one at `--address HOST:REST_PORT:GRPC_PORT`.

Against another server, the real one for instance: have it serve as /models/raw the folder that
`python tests/model_server/raw_models.py FOLDER` writes, with that folder's models.config and monitoring.config. Tests
that need flags or files of their own start their own server, and are left out then.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap import cache
from model_server import slim

slim.install()  # the protos alone: this process needs no TensorFlow

from models.build import bundle  # noqa: E402
from tests.model_server.client import Address, Client, Process  # noqa: E402

RAW_MODELS = Path(__file__).with_name("raw_models.py")
OWN_SERVER = {"launch", "digits", "raw"}

Launch = Callable[..., Process]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--address", help="HOST:REST_PORT:GRPC_PORT of a server to hold against the conformance tests")
    parser.addoption("--fuzz-requests", type=int, default=600, help="how many requests the fuzz tests send in all")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("address", default=None):
        own = [item for item in items if OWN_SERVER & set(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=own)
        items[:] = [item for item in items if item not in own]


@pytest.fixture(scope="session")
def raw() -> Path:
    """The folder of the models that this project did not train."""

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, RAW_MODELS, folder], check=True, capture_output=True)

    return cache.artefact("raw-models", {"source": cache.files_digest(RAW_MODELS)}, make, expect_s=20)


@pytest.fixture(scope="session")
def digits() -> Path:
    """The base path of the trained model."""
    return bundle() / "digits"


def config_text(raw: Path) -> str:
    return (raw / "models.config").read_text().replace("/models/raw", str(raw))


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the session's server."""
    given = request.config.getoption("address", default=None)
    if given:
        host, rest, grpc = given.split(":")
        yield Client(Address(host, int(rest), int(grpc)))
        return
    folder = tmp_path_factory.mktemp("server")
    (folder / "models.config").write_text(config_text(request.getfixturevalue("raw")))
    server = Process(
        folder,
        f"--model_config_file={folder}/models.config",
        f"--monitoring_config_file={request.getfixturevalue('raw')}/monitoring.config",
    )
    try:
        yield server.ready()
    finally:
        server.kill()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts servers with flags of a test's own."""
    started: list[Process] = []

    def start(*flags: str, ports: bool = True) -> Process:
        started.append(Process(tmp_path, *flags, ports=ports))
        return started[-1]

    yield start
    for server in started:
        server.kill()
