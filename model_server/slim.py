"""TensorFlow's internals without its public API.

`import tensorflow` runs a package file that imports the whole public API, Keras included: about 8 seconds of CPU and
200 MiB more than the session, the loader and the protos that a server needs. A bare package of the same name and path
lets those be imported on their own. Only the server's own process does this: others may want the API.
"""

import importlib.util
import sys
import types


def install() -> None:
    """Put the bare package in place, unless the real one is already imported.

    Raises ModuleNotFoundError where TensorFlow is not installed.
    """
    if "tensorflow" in sys.modules:
        return
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("TensorFlow is missing: install requirements/server.txt")
    package = types.ModuleType("tensorflow")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["tensorflow"] = package
