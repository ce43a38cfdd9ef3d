"""The tracks of the timeline that hold numbers: rate, trouble, latency, versions, replicas."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from shakedown.report import svg
from shakedown.report.series import Bins, Floats, steps
from shakedown.report.story import Story

HEIGHT = 96
LOW = 64  # for a track with little to tell
TALLEST = 2000  # px that no track exceeds
PAD = 8.0
VERSION_STYLES = 4
NICE = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Track:
    """One track: its picture, `height` px tall, with words beside it that are not stretched with it.

    `levels` are (px from the top, words) of the lines across; `keys` are (style, words) of the legend.
    """

    title: str
    note: str
    height: int
    picture: Markup
    levels: Sequence[tuple[float, str]] = ()
    keys: Sequence[tuple[str, str]] = ()
    lanes: bool = False

    def shaded(self, bands: Markup) -> "Track":
        """The track with bands behind its picture."""
        return replace(self, picture=bands + self.picture)


@dataclass(frozen=True)
class Scale:
    """From a value to px from the top: 0 at the bottom, `top` at the top of `height`."""

    top: float
    height: int

    def y(self, values: Floats) -> Floats:
        """Values as px from the top."""
        return self.height - PAD - values / self.top * (self.height - 2 * PAD)

    def at(self, value: float) -> float:
        """One value as px from the top."""
        return float(self.y(np.array([value]))[0])

    @property
    def ground(self) -> float:
        """The px where 0 lies."""
        return self.height - PAD


def nice(value: float) -> float:
    """The next number above that a person likes to read on an axis."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in NICE if factor * power >= value * (1 - 1e-9))


def scale_for(values: Floats, height: int = HEIGHT) -> Scale:
    """The scale on which the largest value still fits."""
    return Scale(nice(float(np.nanmax(values))), height)


def rate(story: Story, bins: Bins) -> Track | None:
    """Requests a second by the time of sending; None where none was sent."""
    if not len(story.requests.at):
        return None
    scale = scale_for(bins.rate)
    top = scale.y(bins.rate)
    ground = np.full(len(top), scale.ground)
    picture = svg.area(top, ground, bins.width, "fill-rate") + svg.line(top, bins.width, "line line-rate")
    return Track(
        "Requests",
        f"{len(story.requests.at):,} sent, in bins of {bins.width:g} s",
        HEIGHT,
        picture,
        [(scale.at(scale.top), f"{scale.top:g}/s"), (scale.ground, "0")],
    )


def trouble(story: Story, bins: Bins) -> Track | None:
    """Failed and wrong requests a second; a flat line that says so where there were none. None without requests."""
    if not len(story.requests.at):
        return None
    failed, wrong = int(story.requests.failed.sum()), int(story.requests.wrong.sum())
    note = f"{failed:,} failed, {wrong:,} wrong"
    if not failed + wrong:
        floor = np.where(np.isnan(bins.rate), np.nan, 12.0)
        return Track("Failed or wrong", note, 24, svg.line(floor, bins.width, "line line-good"))
    scale = scale_for(bins.failed + bins.wrong, LOW)
    picture = bars(bins.failed, np.zeros(len(bins.failed)), scale, bins.width, "bar bar-failed") + bars(
        bins.wrong, np.nan_to_num(bins.failed), scale, bins.width, "bar bar-wrong"
    )
    keys = [("bar-failed", "failed"), ("bar-wrong", "wrong answer")]
    return Track(
        "Failed or wrong",
        note,
        LOW,
        picture,
        [(scale.at(scale.top), f"{scale.top:g}/s"), (scale.ground, "0")],
        keys,
    )


def bars(values: Floats, base: Floats, scale: Scale, width: float, style: str) -> Markup:
    """One bar for each bin with a value above 0, standing on `base`."""
    found = [i for i in range(len(values)) if values[i] > 0]
    drawn = [
        svg.rectangle(
            i * width, (i + 1) * width, scale.at(base[i] + values[i]), values[i] / scale.top * span(scale), style
        )
        for i in found
    ]
    return Markup("").join(drawn)


def span(scale: Scale) -> float:
    """The px between 0 and the top of the scale."""
    return scale.height - 2 * PAD


def latency(story: Story, bins: Bins) -> Track | None:
    """The median and the 99th percentile of what answers took, on a logarithmic scale; None without answers."""
    present = bins.p99[~np.isnan(bins.p99)]
    if not len(present):
        return None
    low = math.floor(math.log10(max(1e-4, float(np.nanmin(bins.p50)))))
    high = max(low + 1, math.ceil(math.log10(max(1e-4, float(present.max())))))

    def y(values: Floats) -> Floats:
        part = (np.log10(np.maximum(values, 1e-4)) - low) / (high - low)
        return HEIGHT - PAD - part * (HEIGHT - 2 * PAD)

    picture = svg.area(y(bins.p99), y(bins.p50), bins.width, "fill-latency")
    picture += svg.line(y(bins.p99), bins.width, "line line-p99") + svg.line(y(bins.p50), bins.width, "line line-p50")
    decades = [
        (float(y(np.array([10.0**e]))[0]), duration(10.0**e)) for e in range(low, high + 1, 1 if high - low <= 3 else 2)
    ]
    answered = story.requests.seconds[~story.requests.failed]
    p50, p99 = np.quantile(answered, (0.5, 0.99))
    note = f"over the whole run p50 {duration(float(p50))}, p99 {duration(float(p99))}; logarithmic"
    return Track("Latency", note, HEIGHT, picture, decades, [("line-p50", "p50"), ("line-p99", "p99")])


def duration(seconds: float) -> str:
    """A latency in the unit that a person would use."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def versions(story: Story, bins: Bins) -> Track | None:
    """Each version's share of the answers; None where only one answered."""
    if len(bins.share) < 2:
        return None
    scale = Scale(1.0, LOW)
    under = np.zeros(len(bins.rate))
    picture, keys = Markup(""), []
    for version, share in bins.share.items():
        style = f"fill-version-{version % VERSION_STYLES}" if version else "bar-wrong"
        picture += svg.area(scale.y(under + share), scale.y(under), bins.width, style)
        under = under + np.nan_to_num(share)
        answered = int(((story.requests.version == version) & ~story.requests.failed).sum())
        keys.append((style, f"{f'version {version}' if version else 'no version at all'} ({answered:,})"))
    return Track("Answers by version", "share", LOW, picture, [(scale.at(1), "100 %"), (scale.ground, "0")], keys)


def replica_steps(story: Story) -> dict[str, list[tuple[float, float]]]:
    """(when, how many) for servers wanted, ready and of the newest template, and for what the autoscaler wants."""
    seen = story.of("replicas")
    fields = {"wanted": "wanted", "ready": "ready", "of the newest template": "updated", "autoscaler wants": "desired"}
    found = {name: steps(seen, field) for name, field in fields.items()}
    return {name: changes for name, changes in found.items() if changes}


def replicas(story: Story) -> Track | None:
    """Servers wanted, ready and of the newest template, and what the autoscaler wants; None where nobody watched."""
    found = replica_steps(story)
    if not found:
        return None
    most = max(value for changes in found.values() for _, value in changes)
    scale = Scale(max(1.0, math.ceil(most)), HEIGHT)
    styles = {"wanted": "line-wanted", "ready": "line-ready", "autoscaler wants": "line-hpa"}
    picture, keys = Markup(""), []
    for name, changes in found.items():
        style = styles.get(name, "line-newest")
        points = [(at - story.start, scale.at(value)) for at, value in changes]
        picture += svg.stairs(points, story.end - story.start, f"line {style}")
        keys.append((style, name))
    return Track("Replicas", "", HEIGHT, picture, [(scale.at(scale.top), f"{scale.top:g}"), (scale.ground, "0")], keys)
