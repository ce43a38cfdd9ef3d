"""One loaded version of a model: a session, and a callable for each set of tensors that is asked for."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.client import session as tf_session
from tensorflow.python.framework import errors_impl, ops
from tensorflow.python.saved_model import loader_impl

from model_server.status import Code, StatusError

Array = NDArray[Any]
# the caller's thread runs the graph: no hand-over, and a third of the CPU of a small model's call
IN_CALLER_THREAD = -1
# how much of a new measurement goes into the running mean of a call's time
NEW_SHARE = 0.1


class GraphCall:
    """A fixed set of tensors to feed and to fetch, with the time that it takes."""

    def __init__(self, session: Any, feeds: Sequence[str], fetches: Sequence[str]) -> None:  # noqa: ANN401
        unique = list(dict.fromkeys(fetches))
        self.places = [unique.index(name) for name in fetches]
        options = config_pb2.CallableOptions()
        options.feed.extend(feeds)
        options.fetch.extend(unique)
        options.run_options.inter_op_thread_pool = IN_CALLER_THREAD
        self.call = session._make_callable_from_options(options)  # noqa: SLF001  # there is no public one as fast
        self.seconds_per_row: float | None = None
        self.last_seconds = 0.0

    def __call__(self, arrays: Sequence[Array], rows: int) -> list[Array]:
        """Run the graph; raises StatusError with the graph's own code and text."""
        started = time.perf_counter()
        try:
            found = self.call(*arrays)
        except errors_impl.OpError as error:
            raise StatusError(Code(error.error_code), error.message) from error
        except (TypeError, ValueError, RuntimeError) as error:
            raise StatusError(Code.INVALID_ARGUMENT, str(error)) from error
        self.measure(time.perf_counter() - started, rows)
        return [np.asarray(found[place]) for place in self.places]

    def measure(self, seconds: float, rows: int) -> None:
        """Take one call's time into the running mean; the first call, which compiles, only counts as a bound."""
        self.last_seconds = seconds
        now = seconds / max(rows, 1)
        before = self.seconds_per_row
        self.seconds_per_row = now if before is None or now < before else before + NEW_SHARE * (now - before)


class Servable:
    """A version that is loaded; it closes its session when the last request lets go of it."""

    def __init__(self, name: str, version: int, folder: Path, tags: Sequence[str]) -> None:
        self.name = name
        self.version = version
        self.folder = folder
        config = config_pb2.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        graph = ops.Graph()
        self.session = tf_session.Session(graph=graph, config=config)
        self.calls: dict[tuple[tuple[str, ...], tuple[str, ...]], GraphCall] = {}
        try:
            self.signatures = dict(load(self.session, folder, tags).signature_def)
        except Exception as error:
            self.session.close()
            raise load_error(error, folder) from error

    def call(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> GraphCall:
        """The callable for these tensors; raises StatusError where the graph lacks one."""
        key = (feeds, fetches)
        found = self.calls.get(key)
        if found is None:
            try:
                found = self.calls[key] = GraphCall(self.session, feeds, fetches)
            except errors_impl.OpError as error:
                raise StatusError(Code(error.error_code), error.message) from error
        return found

    def close(self) -> None:
        """Free the session and what it holds."""
        self.calls.clear()
        self.session.close()


def load(session: Any, folder: Path, tags: Sequence[str]) -> meta_graph_pb2.MetaGraphDef:  # noqa: ANN401
    """Fill a session with a SavedModel's graph and variables; raises whatever TensorFlow raises.

    As in the C++ loader, a SavedModel without a variables file is taken for one that has no variables.
    """
    loader = loader_impl.SavedModelLoader(str(folder))
    found: meta_graph_pb2.MetaGraphDef = loader.get_meta_graph_def_from_tags(tags)
    with session.graph.as_default():
        saver, _ = loader.load_graph(session.graph, tags)
        if (folder / "variables" / "variables.index").exists():
            loader.restore_variables(session, saver)
        loader.run_init_ops(session, tags)
    return found


def load_error(error: Exception, folder: Path) -> StatusError:
    """What the server says of a SavedModel that does not load."""
    if isinstance(error, errors_impl.OpError):
        return StatusError(Code(error.error_code), error.message)
    if not (folder / "saved_model.pb").exists() and not (folder / "saved_model.pbtxt").exists():
        text = f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}"
        return StatusError(Code.NOT_FOUND, text)
    if "cannot be parsed" in str(error) or "Cannot parse" in str(error):
        return StatusError(Code.INVALID_ARGUMENT, f"Can't parse {folder}/saved_model.pb as binary proto")
    if "MetaGraphDef associated with tags" in str(error):
        text = f"Could not find meta graph def matching supplied tags: {error}"
        return StatusError(Code.NOT_FOUND, text)
    return StatusError(Code.UNKNOWN, f"{type(error).__name__}: {error}")
