"""Counters and histograms with TensorFlow Serving's names, labels and buckets, in its Prometheus format.

They are changed on the event loop only, so they need no locks.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

OTHER_THAN_WORD = re.compile("[^a-zA-Z0-9_]")


def exponential(scale: float, growth: float, count: int) -> list[float]:
    """The upper limits of a histogram's buckets; one more, without a limit, follows them."""
    return [scale * growth**i for i in range(count)]


def label_text(names: Sequence[str], values: Sequence[str]) -> str:
    """`name="value"` pairs with backslash and quote escaped."""
    escaped = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True))


class Counter:
    """A number that only grows, one per set of label values."""

    def __init__(self, name: str, labels: Sequence[str] = ()) -> None:
        self.name = OTHER_THAN_WORD.sub(":", name)
        self.labels = labels
        self.cells: dict[tuple[str, ...], int] = {}

    def add(self, values: tuple[str, ...] = (), by: int = 1) -> None:
        """Count `by` more."""
        self.cells[values] = self.cells.get(values, 0) + by

    def lines(self) -> list[str]:
        """The metric as Prometheus reads it."""
        cells = [f"{self.name}{{{label_text(self.labels, key)}}} {value}" for key, value in self.cells.items()]
        return [f"# TYPE {self.name} counter", *cells]


class Histogram:
    """How often a value fell into each bucket, one row per set of label values."""

    def __init__(self, name: str, labels: Sequence[str], limits: list[float]) -> None:
        self.name = OTHER_THAN_WORD.sub(":", name)
        self.labels = labels
        self.limits = limits
        self.limit_texts = [f"{limit:.6g}" for limit in limits] + ["+Inf"]
        self.cells: dict[tuple[str, ...], list[int]] = {}
        self.sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, values: tuple[str, ...]) -> None:
        """Count one value."""
        cell = self.cells.get(values)
        if cell is None:
            cell = self.cells[values] = [0] * (len(self.limits) + 1)
            self.sums[values] = 0.0
        cell[bisect_left(self.limits, value)] += 1
        self.sums[values] += value

    def lines(self) -> list[str]:
        """The metric as Prometheus reads it, buckets cumulated."""
        lines = [f"# TYPE {self.name} histogram"]
        for key, cell in self.cells.items():
            labels = label_text(self.labels, key)
            comma = "," if labels else ""
            for limit, count in zip(self.limit_texts, accumulate(cell), strict=True):
                lines.append(f'{self.name}_bucket{{{labels}{comma}le="{limit}"}} {count}')
            lines.append(f"{self.name}_sum{{{labels}}} {self.sums[key]:.6g}")
            lines.append(f"{self.name}_count{{{labels}}} {sum(cell)}")
        return lines


# microseconds: ten times 1.8 to the i, 33 of them, up to some 20 minutes
LATENCY = exponential(10, 1.8, 33)

request_count = Counter("/tensorflow/serving/request_count", ("model_name", "status"))
request_latency = Histogram("/tensorflow/serving/request_latency", ("model_name", "API", "entrypoint"), LATENCY)
runtime_latency = Histogram("/tensorflow/serving/runtime_latency", ("model_name", "API", "runtime"), LATENCY)
example_counts = Histogram("/tensorflow/serving/request_example_counts", ("model",), exponential(1, 2, 15))
example_count_total = Counter("/tensorflow/serving/request_example_count_total", ("model",))
warmup_latency = Histogram("/tensorflow/serving/model_warmup_latency", ("model_path", "status"), LATENCY)
queuing_latency = Histogram(
    "/tensorflow/serving/batching_session/queuing_latency", ("thread_pool_name",), exponential(100, 1.2, 52)
)
graph_runs = Counter("/tensorflow/core/graph_runs")
graph_run_time = Counter("/tensorflow/core/graph_run_time_usecs")
load_attempt_count = Counter("/tensorflow/cc/saved_model/load_attempt_count", ("model_path", "status"))
load_latency = Counter("/tensorflow/cc/saved_model/load_latency", ("model_path",))

ALL: tuple[Counter | Histogram, ...] = (
    load_attempt_count,
    load_latency,
    graph_run_time,
    graph_runs,
    queuing_latency,
    warmup_latency,
    request_count,
    example_count_total,
    example_counts,
    request_latency,
    runtime_latency,
)


def page() -> str:
    """Everything, one metric after the other."""
    return "\n".join(line for metric in ALL for line in metric.lines()) + "\n"
