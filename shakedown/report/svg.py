"""Lines, areas, bars and spans as SVG: x in seconds since the start, y in pixels from the top.

A picture is stretched to the width that there is, so strokes keep their width (the stylesheet says so), text stays
outside, and zooming is another viewBox. It needs no script to be seen, and takes its colours from the stylesheet.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup, escape

from shakedown.report.series import Floats

Points = Sequence[tuple[float, float]]


def number(value: float) -> str:
    """A coordinate as short as it can be."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def runs(values: Floats) -> Iterator[slice]:
    """The stretches of values that are there, between those that are NaN."""
    present = np.concatenate([[False], ~np.isnan(values), [False]])
    edges = np.flatnonzero(present[1:] != present[:-1])
    yield from (slice(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True))


def path(points: Points) -> str:
    """A line through the points."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def line(values: Floats, width: float, style: str) -> Markup:
    """A line through the middle of each bin, broken where values are NaN; values are y already."""
    parts = []
    for run in runs(values):
        points = [((i + 0.5) * width, values[i]) for i in range(run.start, run.stop)]
        if len(points) == 1:  # a line of one point would not be seen
            points = [(run.start * width, points[0][1]), (run.stop * width, points[0][1])]
        parts.append(path(points))
    return drawn("".join(parts), style)


def area(top: Floats, bottom: Floats, width: float, style: str) -> Markup:
    """The area between two lines of bins, each bin as wide as it is; none where the upper one is NaN."""
    parts = []
    for run in runs(top):
        over = [(x * width, top[i]) for i in range(run.start, run.stop) for x in (i, i + 1)]
        under = [(x * width, bottom[i]) for i in reversed(range(run.start, run.stop)) for x in (i + 1, i)]
        parts.append(path([*over, *under]) + "Z")
    return drawn("".join(parts), style)


def stairs(points: Points, end: float, style: str) -> Markup:
    """A line that keeps each value until the next."""
    corners = []
    for (x, y), (following, _) in zip(points, [*points[1:], (end, 0.0)], strict=True):
        corners += [(x, y), (following, y)]
    return drawn(path(corners) if corners else "", style)


def rectangle(start: float, end: float, top: float, height: float, style: str, title: str = "") -> Markup:
    """A rectangle with the words that a pointer over it shows."""
    said = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>').format(
        style, number(start), number(top), number(end - start), number(height), said
    )


def tick(at: float, top: float, height: float, style: str, title: str = "") -> Markup:
    """A moment: an upright line with the words that a pointer over it shows."""
    said = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup('<path class="{}" d="M{} {}v{}">{}</path>').format(
        style, number(at), number(top), number(height), said
    )


def drawn(d: str, style: str) -> Markup:
    """A path element; nothing for nothing."""
    return Markup('<path class="{}" d="{}"/>').format(escape(style), d) if d else Markup("")
