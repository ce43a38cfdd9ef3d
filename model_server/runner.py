"""Runs graphs for the event loop: short calls at once, long ones in a thread, batches where batching is on."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

from numpy.typing import NDArray

from model_server import metrics
from model_server.batching import Batcher
from model_server.config import Batching
from model_server.servable import GraphCall, Servable
from model_server.status import Code, StatusError

Array = NDArray[Any]
# A call that is expected to take longer than this leaves the event loop: others are answered meanwhile.
LONGEST_ON_LOOP_S = 0.002

# when the request that is being served must be answered, on the loop's clock
deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


def rows_of(arrays: Sequence[Array]) -> int:
    """The first dimension of the first input, 1 for a scalar."""
    return len(arrays[0]) if arrays and arrays[0].ndim else 1


class Runner:
    """The way from a request to a graph; used on the event loop only."""

    def __init__(self, batching: Batching | None, threads: int) -> None:
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="graph")
        self.batcher = Batcher(batching, deadline) if batching else None

    async def __call__(
        self, servable: Servable, feeds: Mapping[str, Array], fetches: Sequence[str], api: str
    ) -> list[Array]:
        """The fetched tensors; raises StatusError, DEADLINE_EXCEEDED among others."""
        names = tuple(sorted(feeds))
        call = servable.call(names, tuple(fetches))
        arrays = [feeds[name] for name in names]
        if self.batcher:
            return await self.batcher.submit(servable, call, arrays, api)
        rows = rows_of(arrays)
        expected = call.seconds_per_row
        if expected is not None and expected * rows < LONGEST_ON_LOOP_S:
            found = call(arrays, rows)
        else:
            found = await self.in_thread(call, arrays, rows)
        record(servable.name, api, call.last_seconds)
        return found

    @staticmethod
    async def alone(servable: Servable, feeds: Mapping[str, Array], fetches: Sequence[str], api: str) -> list[Array]:
        """Run here and now, unbatched and uncounted: for warming up, outside of the event loop."""
        del api
        names = tuple(sorted(feeds))
        arrays = [feeds[name] for name in names]
        return servable.call(names, tuple(fetches))(arrays, rows_of(arrays))

    async def in_thread(self, call: GraphCall, arrays: list[Array], rows: int) -> list[Array]:
        """Run in a thread, for as long as the request has."""
        loop = asyncio.get_running_loop()
        left = deadline.get() - loop.time()
        future = loop.run_in_executor(self.pool, call, arrays, rows)
        try:
            return await asyncio.wait_for(future, None if math.isinf(left) else max(left, 0.0))
        except TimeoutError as error:
            raise StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification") from error


def record(name: str, api: str, seconds: float) -> None:
    """Tell the metrics of one graph run."""
    micros = seconds * 1e6
    metrics.runtime_latency.observe(micros, (name, api, "TF1"))
    metrics.graph_runs.add()
    metrics.graph_run_time.add(by=int(micros))
