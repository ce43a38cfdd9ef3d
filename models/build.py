"""The bundle of models that the suites serve, built once and kept in the cache."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from airgap import cache

HERE = Path(__file__).parent
SOURCES = ("data.py", "export.py", "golden.py", "spoil.py", "train.py")
PACKAGES = ("keras", "numpy", "scikit-learn", "scipy", "tensorflow-cpu", "tensorflow-serving-api")


def bundle() -> Path:
    """The bundle's folder, trained now unless the cache holds it.

        digits/1, digits/2        good SavedModels with warm-up records
        spoiled/<name>            version folders that are broken on purpose, see models.spoil
        golden.npz, golden.json   what the good ones answer: models.golden.Golden.load(folder)

    Raises airgap.cache.BuildError where training fails or misses the accuracy it promises.
    """
    recipe = {
        "sources": cache.files_digest(*(HERE / name for name in SOURCES)),
        "packages": {name: version(name) for name in PACKAGES},
    }
    return cache.artefact("models", recipe, train_in_own_process, expect_s=30)


def train_in_own_process(folder: Path) -> None:
    """Train into `folder` in a process of its own: the caller stays free of TensorFlow's half gigabyte."""
    command = [sys.executable, "-m", "models.train", str(folder)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, cwd=HERE.parent, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        raise cache.BuildError(f"training the models failed; run `{' '.join(command)}` to repeat it:\n{done.stderr}")
