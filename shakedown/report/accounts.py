"""Where the time went: stages against their floors and ceilings, the run's own set-up, the slowest promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shakedown.report.claims import Claim
from shakedown.report.story import Story

SHOWN_S = 0.1
SLOWEST = 8


@dataclass(frozen=True)
class Stage:
    """One stage of a flow: it can't take less than `floor` and mayn't take more than `ceiling`, and took `seconds`.

    The `..._part` are percent of the widest bar of the flow.
    """

    name: str
    floor: float
    ceiling: float
    seconds: float
    widest: float

    @property
    def overran(self) -> bool:
        """Whether the stage took longer than it may."""
        return self.seconds > self.ceiling

    @property
    def impossible(self) -> bool:
        """Whether the stage took less than it can, so that its floor is wrong or something else was measured."""
        return self.seconds < self.floor

    def part(self, seconds: float) -> float:
        """Percent of the widest bar."""
        return 100 * seconds / self.widest if self.widest else 0.0


@dataclass(frozen=True)
class Flow:
    """The stages of one flow, such as from a kill to a delivered alert, in order."""

    name: str
    stages: Sequence[Stage]

    @property
    def seconds(self) -> float:
        """What the flow took."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def floor(self) -> float:
        """The soonest that the flow can be over."""
        return sum(stage.floor for stage in self.stages)


def flows(story: Story) -> list[Flow]:
    """The stages that the run measured, by flow; bars of all flows share one scale.

    A flow that was measured several times has a number from the second on: it begins anew with a stage that it had.
    """
    grouped: dict[str, list[dict[str, Any]]] = {}
    times: dict[str, int] = {}
    for event in story.of("stage"):
        flow, stage = str(event.fields["flow"]), event.fields["name"]
        if any(stage == had["name"] for had in grouped.get(numbered(flow, times.get(flow, 1)), [])):
            times[flow] = times.get(flow, 1) + 1
        grouped.setdefault(numbered(flow, times.get(flow, 1)), []).append(event.fields)
    widest = max((max(float(f["seconds"]), float(f["ceiling"])) for fs in grouped.values() for f in fs), default=0.0)
    return [
        Flow(
            name,
            [
                Stage(str(f["name"]), float(f["floor"]), float(f["ceiling"]), float(f["seconds"]), widest)
                for f in fields
            ],
        )
        for name, fields in grouped.items()
    ]


def numbered(flow: str, time: int) -> str:
    """A flow's name, with a number where it is not the first of that name."""
    return flow if time == 1 else f"{flow} ({time})"


@dataclass(frozen=True)
class Bar:
    """Seconds that something took; `part` is percent of the longest beside it."""

    name: str
    seconds: float
    part: float


def bars(seconds: Mapping[str, float]) -> list[Bar]:
    """Bars of everything that took long enough to be seen."""
    longest = max(seconds.values(), default=0.0)
    return [Bar(name, took, 100 * took / longest) for name, took in seconds.items() if took >= SHOWN_S]


def slowest(claims: Sequence[Claim]) -> list[Bar]:
    """The claims that took longest, set-up of what they share included."""
    longest = sorted(claims, key=lambda claim: -claim.seconds)[:SLOWEST]
    return bars({f"{claim.suite}: {claim.claim}": claim.seconds for claim in longest})
