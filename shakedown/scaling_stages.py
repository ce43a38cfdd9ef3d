"""Every second between a load and the servers that it needs, and between its end and theirs; read from the ledger."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shakedown.autoscaling import Scaler
from shakedown.ledger import Event, Ledger
from shakedown.timing import Stage
from shakedown.verdict import Failed, Inconclusive

BUSY_S = 5.0  # what a stage may add on a machine of 2 cores where servers start meanwhile
SEEN_S = 1.0  # how late a change is seen by a watcher that looks twice a second, and that a look takes time


@dataclass(frozen=True)
class Pace:
    """What decides how long scaling takes, from live configuration; times in seconds.

    `window` is what the adapter's rate looks back, `start` what the startup probe allows, `drain` the preStop sleep,
    `grace` the pod's grace period, `scrape` of gateway and servers.
    """

    scrape: float
    window: float
    sync: float
    start: float
    drain: float
    grace: float


@dataclass(frozen=True)
class Measured:
    """One stage as it came out, in seconds."""

    stage: Stage
    seconds: float

    @property
    def overrun(self) -> float:
        """By how much it took longer than it may; 0 where it did not."""
        return max(0.0, self.seconds - self.stage.ceiling)

    def __str__(self) -> str:
        return f"{self.stage.name} {self.seconds:.1f} ({self.stage.floor:g}..{self.stage.ceiling:g})"


@dataclass(frozen=True)
class Flow:
    """One way, out or in, in its stages."""

    name: str
    stages: tuple[Measured, ...]

    @property
    def seconds(self) -> float:
        """All of it."""
        return sum(each.seconds for each in self.stages)

    def assert_in_time(self) -> None:
        """Raise Failed that names the stage which overran most, or one that was over before it can be."""
        worst = max(self.stages, key=lambda each: each.overrun)
        if worst.overrun:
            raise Failed(f"{self.name}: stage {worst} took longer than it may; {worst.stage.formula}")
        early = next((each for each in self.stages if each.seconds < each.stage.floor - SEEN_S), None)
        if early:
            raise Failed(f"{self.name}: stage {early} was over before it may be; {early.stage.formula}")

    def record(self, ledger: Ledger) -> None:
        """Put the stages into the ledger."""
        for each in self.stages:
            ledger.record(
                "stage",
                flow=self.name,
                name=each.stage.name,
                floor=each.stage.floor,
                ceiling=each.stage.ceiling,
                seconds=round(each.seconds, 2),
                overrun=round(each.overrun, 2),
            )

    def __str__(self) -> str:
        return f"{self.name} {self.seconds:.1f} s (floor..ceiling): {', '.join(map(str, self.stages))}"


def out_stages(pace: Pace) -> tuple[Stage, ...]:
    """From the load's start to the first request that a new server answers."""
    return (
        Stage("scraped", 0.0, pace.scrape + BUSY_S, pace.scrape, "0 .. scrape interval + busy"),
        Stage("metric", 0.0, pace.window + BUSY_S, 0.0, "0 .. the rate's window + busy"),
        Stage("desired", 0.0, pace.sync + BUSY_S, pace.sync, "0 .. HPA sync period + busy"),
        Stage("created", 0.0, BUSY_S, 0.0, "0 .. busy"),
        Stage("scheduled", 0.0, BUSY_S, 0.0, "0 .. busy"),
        Stage("started", 0.0, 2 * BUSY_S, 0.0, "0 .. twice busy: volumes, network, the container"),
        Stage("model ready", 0.0, pace.start + BUSY_S, 0.0, "0 .. what the startup probe allows + busy"),
        Stage("served", 0.0, pace.scrape + BUSY_S, pace.scrape, "0 .. scrape interval, by which it is seen, + busy"),
    )


def in_stages(pace: Pace, scaler: Scaler) -> tuple[Stage, ...]:
    """From the load's end to the last pod that is too many."""
    held = scaler.down_window
    return (
        Stage("scraped", 0.0, pace.scrape + BUSY_S, pace.scrape, "0 .. scrape interval + busy"),
        Stage("metric", 0.0, pace.window + BUSY_S, 0.0, "0 .. the rate's window + busy"),
        Stage(
            "desired",
            max(0.0, held - 2 * pace.sync),
            held + 2 * pace.sync + BUSY_S,
            pace.sync,
            "stabilisation window, less what it began before .. and two syncs + busy",
        ),
        Stage("told to end", 0.0, BUSY_S, 0.0, "0 .. busy"),
        Stage("gone", pace.drain, pace.grace + BUSY_S, 0.0, "preStop .. grace period + busy"),
    )


def first(events: Sequence[Event], kind: str, fits: Callable[[dict[str, object]], bool], what: str) -> Event:
    """The first event of a kind that fits. Raises Inconclusive that says what was never seen."""
    found = next((each for each in events if each.kind == kind and fits(each.fields)), None)
    if found is None:
        raise Inconclusive(f"{what} was never seen")
    return found


def measured(stages: Sequence[Stage], moments: Sequence[float]) -> Iterator[Measured]:
    """Each stage with the seconds between its moment and the one before; looks side by side may differ by a second."""
    for stage, (start, end) in zip(stages, pairwise(moments), strict=True):
        yield Measured(stage, max(0.0, end - start))


@dataclass(frozen=True)
class Way:
    """What was seen on one way: events by time, when the load changed, when that was scraped, how many there were."""

    events: Sequence[Event]
    began: float
    scraped: float
    replicas: int


def way_out(way: Way, scaler: Scaler, pace: Pace, served: Callable[[str], float]) -> Flow:
    """The stages of the first server that was added; `served` gives when a pod was seen to have answered."""
    events = [each for each in way.events if each.at >= way.began]
    known = {str(each.fields["name"]) for each in way.events if each.kind == "pod" and each.at < way.began}

    def too_much(fields: dict[str, object]) -> bool:
        asked = scaler.proposal(way.replicas, float(str(fields["value"])), scaler.rate)
        return fields["name"] == scaler.metric and asked > way.replicas

    metric = first(events, "metric", too_much, f"a value of {scaler.metric} that asks for more than {way.replicas}")
    desired = first(events, "hpa", lambda f: int(str(f["desired"])) > way.replicas, "the HPA wanting more")
    created = first(events, "pod", lambda f: f["name"] not in known, "a new pod")
    mine = [each for each in events if each.kind == "pod" and each.fields["name"] == created.fields["name"]]
    placed = first(mine, "pod", lambda f: bool(f["node"]), "the new pod on a node")
    running = first(mine, "pod", lambda f: f["phase"] == "Running", "the new pod running")
    ready = first(mine, "pod", lambda f: bool(f["ready"]), "the new pod ready")
    moments = [way.began, way.scraped, metric.at, desired.at, created.at, placed.at, running.at, ready.at]
    return Flow("scale out", tuple(measured(out_stages(pace), [*moments, served(str(created.fields["name"]))])))


def way_in(way: Way, scaler: Scaler, pace: Pace) -> Flow:
    """The stages until the first server that was too many is gone."""
    events = [each for each in way.events if each.at >= way.began]

    def too_little(fields: dict[str, object]) -> bool:
        asked = scaler.proposal(way.replicas, float(str(fields["value"])), scaler.rate)
        return fields["name"] == scaler.metric and asked < way.replicas

    metric = first(events, "metric", too_little, f"a value of {scaler.metric} that asks for less than {way.replicas}")
    desired = first(events, "hpa", lambda f: int(str(f["desired"])) < way.replicas, "the HPA wanting less")
    ending = first(events, "pod", lambda f: bool(f["ending"]), "a pod told to end")
    gone = first(
        events, "pod", lambda f: f["name"] == ending.fields["name"] and f["phase"] == "Gone", "the end of that pod"
    )
    moments = [way.began, way.scraped, metric.at, desired.at, ending.at, gone.at]
    return Flow("scale in", tuple(measured(in_stages(pace, scaler), moments)))


def turns(sizes: Sequence[int]) -> int:
    """How often a series of sizes changes its direction: once for out and in again, more where it flaps."""
    steps = [b - a for a, b in pairwise(sizes) if a != b]
    return sum((a > 0) != (b > 0) for a, b in pairwise(steps))
