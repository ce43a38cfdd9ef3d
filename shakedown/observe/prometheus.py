"""Prometheus as the suites ask it: a query without data raises, it never passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shakedown.lint.quantity import seconds
from shakedown.observe.link import Link
from shakedown.verdict import Failed, Inconclusive

Labels = Mapping[str, str]


class NoData(Inconclusive):
    """A query found no series: what it asks for was not measured, or is asked for by a wrong name or label."""


@dataclass(frozen=True)
class Sample:
    """One series of an answer, with its value now."""

    labels: Labels
    value: float


@dataclass(frozen=True)
class Series:
    """One series of an answer, with its samples: (seconds since 1970, value), by time."""

    labels: Labels
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Alert:
    """One alert that is pending or firing; `since` is when it became active, in seconds since 1970."""

    labels: Labels
    state: str
    since: float

    @property
    def name(self) -> str:
        """The name of its rule."""
        return self.labels["alertname"]


@dataclass(frozen=True)
class Rule:
    """One rule as Prometheus has loaded it; times in seconds. `error` is what its last evaluation said against it."""

    group: str
    interval: float
    kind: str
    name: str
    query: str
    wait: float
    keep: float
    labels: Labels
    annotations: Labels
    error: str
    evaluated: bool


@dataclass(frozen=True)
class Target:
    """One thing that is scraped: `pool` is the scrape configuration's name, `said` the last scrape's error."""

    pool: str
    labels: Labels
    up: bool
    said: str
    interval: float
    timeout: float


@dataclass(frozen=True)
class Prometheus:
    """One Prometheus, through its HTTP API."""

    link: Link

    def ask(self, path: str, **params: str) -> Any:  # noqa: ANN401 - JSON
        """The data of one API call. Raises Failed with Prometheus' own words where it refuses."""
        return self.link.get(f"/api/v1/{path}", **params)["data"]

    def query(self, expr: str) -> list[Sample]:
        """Every series of an instant query, now. Raises NoData where there is none."""
        found = self.ask("query", query=expr)
        if found["resultType"] == "scalar":
            return [Sample({}, float(found["result"][1]))]
        if not found["result"]:
            raise NoData(f"query without data: {expr}")
        return [Sample(each["metric"], float(each["value"][1])) for each in found["result"]]

    def value(self, expr: str) -> float:
        """The one value of an instant query. Raises NoData without one, Failed with several."""
        found = self.query(expr)
        if len(found) > 1:
            raise Failed(f"{len(found)} series where one was asked for: {expr}")
        return found[0].value

    def points(self, selector: str, window: int) -> list[Series]:
        """The raw samples of the last seconds, at the times at which they were taken. Raises NoData."""
        found = self.ask("query", query=f"{selector}[{window}s]")["result"]
        if not found:
            raise NoData(f"no sample in {window} s of: {selector}")
        return [Series(e["metric"], tuple((float(at), float(value)) for at, value in e["values"])) for e in found]

    def history(self, expr: str, start: float, end: float, step: float = 1.0) -> list[Series]:
        """An expression evaluated at each step of the past; times in seconds since 1970. No series is an answer too."""
        asked = {"query": expr, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        found = self.ask("query_range", **asked)["result"]
        return [Series(e["metric"], tuple((float(at), float(value)) for at, value in e["values"])) for e in found]

    def alerts(self) -> list[Alert]:
        """Every alert that is pending or firing; none is an answer too."""
        return [
            Alert(each["labels"], each["state"], datetime.fromisoformat(each["activeAt"]).timestamp())
            for each in self.ask("alerts")["alerts"]
        ]

    def rules(self) -> list[Rule]:
        """Every rule that is loaded. Raises NoData where none is."""
        found = [rule_of(group, each) for group in self.ask("rules")["groups"] for each in group["rules"]]
        if not found:
            raise NoData("Prometheus has loaded no rule")
        return found

    def targets(self) -> list[Target]:
        """Everything that is scraped. Raises NoData where nothing is."""
        found = [target_of(each) for each in self.ask("targets", state="active")["activeTargets"]]
        if not found:
            raise NoData("Prometheus has no target")
        return found

    def metrics(self) -> set[str]:
        """The name of every metric that there is a series of."""
        return set(self.ask("label/__name__/values"))

    def described(self) -> set[str]:
        """The name of every metric that a target declares, series or not."""
        return {each["metric"] for each in self.ask("targets/metadata")}

    def resends_after(self) -> float:
        """Seconds after which Prometheus tells an Alertmanager again what fires."""
        return seconds(self.ask("status/flags")["rules.alert.resend-delay"]) or 0.0


def rule_of(group: Mapping[str, Any], each: Mapping[str, Any]) -> Rule:
    """One rule out of the API's answer."""
    return Rule(
        group=group["name"],
        interval=float(group["interval"]),
        kind=each["type"],
        name=each["name"],
        query=each["query"],
        wait=float(each.get("duration", 0)),
        keep=float(each.get("keepFiringFor", 0)),
        labels=each.get("labels") or {},
        annotations=each.get("annotations") or {},
        error=each.get("lastError") or "",
        evaluated=each.get("health") == "ok",
    )


def target_of(each: Mapping[str, Any]) -> Target:
    """One target out of the API's answer."""
    return Target(
        pool=each["scrapePool"],
        labels=each["labels"],
        up=each["health"] == "up",
        said=each.get("lastError") or "",
        interval=seconds(each["scrapeInterval"]) or 0.0,
        timeout=seconds(each["scrapeTimeout"]) or 0.0,
    )
