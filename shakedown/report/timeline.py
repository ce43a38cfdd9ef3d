"""The timeline: tracks over one time axis, drawn from the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from shakedown.report import lanes, plots, svg
from shakedown.report.plots import Track
from shakedown.report.series import Bins, Span, binned
from shakedown.report.story import Story
from shakedown.verdict import Outcome

FAULTS = "from the injection to the restored state; a tick marks the proof that it bit"
TICKS = 6
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
READABLE = 4  # significant digits of a number that the read-out shows


@dataclass(frozen=True)
class Timeline:
    """What the page draws: `seconds` long, `tracks` from top to bottom, `missing` what the run recorded nothing of.

    `data` is what the read-out under the pointer is made of.
    """

    seconds: float
    tracks: list[Track]
    missing: list[str]
    ticks: list[tuple[float, str]]
    data: dict[str, Any] = field(default_factory=dict)


def timeline(story: Story, outcomes: Mapping[str, Outcome]) -> Timeline:
    """The timeline of a story; `outcomes` holds each test's."""
    seconds = story.end - story.start
    bins = binned(story)
    faults = lanes.faults(story)
    promises = lanes.promises(story, outcomes)
    alerts, delivered = lanes.alerts(story)
    tracks = {
        "promises": lanes.track("Promises", "when each suite was asked", story, promises),
        "faults": lanes.track("Faults", FAULTS, story, faults, [*lanes.proofs(story), *lanes.recovered(story)]),
        "marks": lanes.marks(story),
        "requests": plots.rate(story, bins),
        "failed or wrong requests": plots.trouble(story, bins),
        "latencies": plots.latency(story, bins),
        "versions": plots.versions(story, bins),
        "replicas": plots.replicas(story),
        "alerts": lanes.track("Alerts", "pending, firing; a tick marks a delivery", story, alerts, delivered),
    }
    shade = bands(story, faults)
    drawn = [track.shaded(shade) for track in tracks.values() if track]
    needed = ("promises", "requests", "replicas", "alerts", "faults")
    return Timeline(
        seconds=seconds,
        tracks=drawn if seconds > 0 else [],
        missing=[name for name in needed if tracks[name] is None],
        ticks=ticks(seconds),
        data=read_out(story, bins, [*promises, *faults, *alerts]),
    )


def bands(story: Story, faults: Sequence[Span]) -> Markup:
    """Each fault's time as a band behind everything else."""
    drawn = [svg.rectangle(f.start - story.start, f.end - story.start, 0, plots.TALLEST, "band") for f in faults]
    return Markup("").join(drawn)


def ticks(seconds: float) -> list[tuple[float, str]]:
    """Where the axis is labelled: (percent of the width, minutes and seconds since the start)."""
    step = next((s for s in TICK_STEPS_S if seconds / s <= TICKS), TICK_STEPS_S[-1])
    moments = [step * i for i in range(int(seconds // step) + 1)] if seconds > 0 else []
    return [(100 * at / seconds, clock(at)) for at in moments]


def clock(seconds: float) -> str:
    """Hours, minutes and seconds since the start, as short as can be."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def read_out(story: Story, bins: Bins, states: Sequence[Span]) -> dict[str, Any]:
    """What the page tells of the moment under the pointer; times in seconds since the start."""
    return {
        "epoch_ms": round(1000 * (story.epoch + story.start)),
        "seconds": story.end - story.start,
        "width": bins.width,
        "series": {
            name: [None if value != value else float(f"{value:.{READABLE}g}") for value in values]  # noqa: PLR0124 - NaN
            for name, values in (
                ("rate", bins.rate),
                ("failed", bins.failed),
                ("wrong", bins.wrong),
                ("p50", bins.p50),
                ("p99", bins.p99),
            )
        },
        "steps": {
            name: [(round(at - story.start, 2), value) for at, value in changes]
            for name, changes in plots.replica_steps(story).items()
        },
        "states": [
            (round(s.start - story.start, 2), round(s.end - story.start, 2), f"{s.lane}: {s.said}") for s in states
        ],
    }
