"""What is in the image that load workers run, without building it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from airgap import images, load_generator
from airgap.serving import requirements_of

ROOT = Path(__file__).parents[2]
# numpy, grpc and the like come from this environment; the project and TensorFlow's messages must not
FINDER = """
import sys
sys.path[:] = [path for path in sys.path if path != sys.argv[2]]
sys.path.insert(0, sys.argv[1])
import locustfiles.inside, locustfiles.open_model, locustfiles.order, shakedown.protos
loaded = [each.__file__ for name, each in sys.modules.items()
    if name.partition(".")[0] in ("shakedown", "locustfiles", "tensorflow", "tensorflow_serving")
    and getattr(each, "__file__", None)]
print(len(loaded), [file for file in loaded if not file.startswith(sys.argv[1])])
"""


def test_nobody_builds_it_who_does_not_ask_for_it() -> None:
    assert load_generator.NAME not in images.CATALOGUE


def test_all_that_generators_import_of_the_project_is_in_it(tmp_path: Path) -> None:
    """Imported from a folder that holds what the image holds, nothing is missing, and nothing comes from elsewhere."""
    for path, file in (*load_generator.sources_of(), *load_generator.messages_of()):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, tmp_path / path)
        for folder in path.parents[:-1]:  # a bare folder would give way to this environment's package of that name
            (tmp_path / folder / "__init__.py").touch()
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", FINDER, str(tmp_path), str(ROOT)]
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, _, elsewhere = done.stdout.partition(" ")
    assert int(count) > 30
    assert elsewhere.strip() == "[]"


def test_its_packages_are_those_that_the_project_is_pinned_to() -> None:
    def pinned(name: str) -> set[str]:
        lines = requirements_of((ROOT / "requirements" / name).read_text()).splitlines()
        return {line.partition(" ")[0] for line in lines}

    wanted = pinned("load.txt")
    assert {line.partition("==")[0] for line in wanted} >= {"locust", "numpy", "orjson", "grpcio", "protobuf"}
    assert wanted <= pinned("main.txt")
    assert not any(line.startswith("tensorflow") for line in wanted)
