"""Puts requests for the same graph call together; REST and gRPC share the queues.

A batch closes when it is full or its first request has waited long enough and a thread is free. Requests are not split.
"""

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_server import metrics
from model_server.config import Batching
from model_server.servable import GraphCall, Servable
from model_server.status import Code, StatusError, invalid

Array = NDArray[Any]


@dataclass
class Task:
    """One request's tensors, waiting."""

    arrays: list[Array]
    rows: int
    deadline: float  # on the loop's clock
    enqueued: float
    answer: "asyncio.Future[list[Array]]"


@dataclass
class Batch:
    """Requests that will run together."""

    tasks: list[Task] = field(default_factory=list)
    waited_enough: bool = False

    @property
    def rows(self) -> int:
        """Rows of all its requests."""
        return sum(task.rows for task in self.tasks)


class Queue:
    """The batches of one graph call: closed ones in order, and at the end the open one."""

    def __init__(self, servable: Servable, call: GraphCall, api: str) -> None:
        self.servable = servable
        self.call = call
        self.api = api
        self.batches: deque[Batch] = deque()


class Batcher:
    """All queues and the threads that they share; used on the event loop only."""

    def __init__(self, settings: Batching, deadline: ContextVar[float]) -> None:
        self.settings = settings
        self.deadline = deadline
        self.pool = ThreadPoolExecutor(settings.threads, thread_name_prefix=settings.pool_name)
        self.busy = 0
        # a queue lives as long as its graph call does: an unloaded version takes its queues with it
        self.queues: weakref.WeakKeyDictionary[GraphCall, deque[Batch]] = weakref.WeakKeyDictionary()
        self.ready: deque[Queue] = deque()

    async def submit(self, servable: Servable, call: GraphCall, arrays: list[Array], api: str) -> list[Array]:
        """The request's part of its batch's answer.

        Raises StatusError: INVALID_ARGUMENT for a request that no batch can hold, UNAVAILABLE where the queue is full,
        RESOURCE_EXHAUSTED where the request waited past its deadline.
        """
        loop = asyncio.get_running_loop()
        rows = self.rows_of(arrays)
        task = Task(arrays, rows, self.deadline.get(), loop.time(), loop.create_future())
        queue = self.queue(servable, call, api)
        if not queue.batches or queue.batches[-1].rows + rows > self.settings.max_size:
            if len(queue.batches) >= self.settings.max_enqueued:
                raise StatusError(
                    Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full"
                )
            queue.batches.append(Batch())
            loop.call_later(self.settings.timeout_s, self.stop_waiting, queue, queue.batches[-1])
        queue.batches[-1].tasks.append(task)
        self.dispatch(queue)
        return await task.answer

    def queue(self, servable: Servable, call: GraphCall, api: str) -> Queue:
        """The queue of a graph call."""
        queue = Queue(servable, call, api)
        queue.batches = self.queues.setdefault(call, queue.batches)
        return queue

    def rows_of(self, arrays: Sequence[Array]) -> int:
        """The rows of a request; raises StatusError where its inputs disagree or it is too large."""
        if any(not array.ndim for array in arrays):
            raise invalid("Batching session Run() input tensors must have at least one dimension")
        sizes = {len(array) for array in arrays}
        if len(sizes) != 1:
            raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
        rows = sizes.pop()
        if rows > self.settings.max_size:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {self.settings.max_size}")
        return rows

    def dispatch(self, queue: Queue) -> None:
        """Start the batches that are due, as far as threads are free; the rest waits for the next free one."""
        while queue.batches and self.due(queue):
            if self.busy >= self.settings.threads:
                self.ready.append(queue)
                return
            self.busy += 1
            batch = queue.batches.popleft()
            task = asyncio.ensure_future(self.process(queue, batch))
            task.add_done_callback(self.release)

    def due(self, queue: Queue) -> bool:
        """Whether the first batch is closed, full, or has waited long enough."""
        first = queue.batches[0]
        return len(queue.batches) > 1 or first.waited_enough or first.rows >= self.settings.max_size

    def stop_waiting(self, queue: Queue, batch: Batch) -> None:
        """The batch's time is up, full or not."""
        batch.waited_enough = True
        self.dispatch(queue)

    def release(self, done: "asyncio.Future[None]") -> None:
        """A thread is free again; whoever waited longest goes on."""
        done.result()
        self.busy -= 1
        while self.ready and self.busy < self.settings.threads:
            self.dispatch(self.ready.popleft())

    async def process(self, queue: Queue, batch: Batch) -> None:
        """Run one batch and hand out the rows; a failure is every request's."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task in batch.tasks:
            metrics.queuing_latency.observe((now - task.enqueued) * 1e6, (self.settings.pool_name,))
        if all(task.deadline <= now for task in batch.tasks):
            late = StatusError(Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
            return fail(batch, late)
        try:
            started = time.perf_counter()
            found = await loop.run_in_executor(self.pool, self.run, queue.call, batch)
        except StatusError as error:
            return fail(batch, error)
        micros = (time.perf_counter() - started) * 1e6
        metrics.runtime_latency.observe(micros, (queue.servable.name, queue.api, "TF1"))
        metrics.graph_runs.add()
        metrics.graph_run_time.add(by=int(micros))
        start = 0
        for task in batch.tasks:
            if not task.answer.done():
                task.answer.set_result([array[start : start + task.rows] for array in found])
            start += task.rows
        return None

    def run(self, call: GraphCall, batch: Batch) -> list[Array]:
        """The batch's outputs, rows of the padding left out; runs in a thread."""
        merged = [
            self.merge([task.arrays[place] for task in batch.tasks], batch.rows)
            for place in range(len(batch.tasks[0].arrays))
        ]
        found = call(merged, len(merged[0]) if merged else 1)
        for array in found:
            if not array.ndim or len(array) != len(merged[0]):
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the"
                    " input tensors",
                )
        return found

    def merge(self, parts: list[Array], rows: int) -> Array:
        """One input of all requests, padded to an allowed size by repeating the first row."""
        shapes = {part.shape[1:] for part in parts}
        if len({part.dtype for part in parts}) > 1:
            raise invalid("Tensors with name do not have matching dtypes")
        if len(shapes) > 1:
            if not self.settings.pad_variable_length or len({len(shape) for shape in shapes}) > 1:
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    "Tensors with name have different shapes in a batch; set pad_variable_length_inputs to allow it",
                )
            parts = pad_lengths(parts)
        wanted = next((size for size in self.settings.allowed_sizes if size >= rows), rows)
        if wanted > rows and rows:
            parts = [*parts, np.repeat(parts[0][:1], wanted - rows, axis=0)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def fail(batch: Batch, error: StatusError) -> None:
    """Give all requests of a batch the same error."""
    for task in batch.tasks:
        if not task.answer.done():
            task.answer.set_exception(StatusError(error.code, error.message))


def pad_lengths(parts: list[Array]) -> list[Array]:
    """Grow every part to the largest size of each dimension, repeating its first value."""
    largest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    padded = []
    for part in parts:
        widths = [(0, 0), *((0, size - have) for size, have in zip(largest, part.shape[1:], strict=True))]
        filler = part.flat[0] if part.size else (b"" if part.dtype == np.object_ else 0)
        padded.append(np.pad(part, widths, constant_values=filler))
    return padded
