"""Whether a server's memory grows so that it will be killed for it: a line through what cAdvisor saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shakedown.observe.prometheus import Prometheus
from shakedown.sequential import Finding

SPAN_S = 40.0  # of samples at the least: cAdvisor looks every 10 to 20 s, and a line needs three looks


@dataclass(frozen=True)
class Growth:
    """A container's memory: `used` of its limit at last, `grows` of its limit a second, over so many seconds."""

    used: float
    grows: float
    span: float

    def finding(self, horizon: float) -> Finding:
        """Bad where it would be at its limit within `horizon` seconds if it went on so, unclear by too short a look."""
        if self.span < SPAN_S:
            return Finding.UNCLEAR
        return Finding.BAD if self.used + max(0.0, self.grows) * horizon >= 1 else Finding.GOOD

    def __str__(self) -> str:
        return f"{self.used:.0%} of the limit, {self.grows * 60:+.2%} of it a minute, over {self.span:.0f} s"


def growth(points: Sequence[tuple[float, float]], limit: float) -> Growth:
    """The growth by samples of (seconds, bytes), oldest first; none is no growth, over no time."""
    if len(points) < 2:
        return Growth(points[-1][1] / limit if points else 0.0, 0.0, 0.0)
    moments, values = np.transpose(points)
    slope = float(np.polyfit(moments - moments[0], values, 1)[0])
    return Growth(float(values[-1] / limit), slope / limit, float(moments[-1] - moments[0]))


def growth_of(prometheus: Prometheus, pod: str, container: str, limit: float, window: int) -> Growth:
    """A container's growth over the last `window` seconds; `limit` in bytes. Raises NoData where nothing was seen."""
    selector = f'container_memory_working_set_bytes{{pod="{pod}", container="{container}"}}'
    return growth(prometheus.points(selector, window)[0].points, limit)
