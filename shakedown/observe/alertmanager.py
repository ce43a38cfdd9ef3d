"""Alertmanager and the receiver behind it, as the suites ask them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shakedown.observe.link import Link

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Silence:
    """One silence of Alertmanager, by its id."""

    id: str


@dataclass(frozen=True)
class Alertmanager:
    """One Alertmanager, through its HTTP API."""

    link: Link

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert that it holds, with `status` (state, silencedBy, inhibitedBy) and `labels`."""
        return list(self.link.get("/api/v2/alerts"))

    def configuration(self) -> str:
        """The configuration that it runs with, as YAML."""
        return str(self.link.get("/api/v2/status")["config"]["original"])

    def silence(self, matchers: Labels, start: str, end: str) -> Silence:
        """Silence what carries these labels, from one time to another (RFC 3339)."""
        said = [{"name": n, "value": v, "isRegex": False, "isEqual": True} for n, v in matchers.items()]
        body = {"matchers": said, "startsAt": start, "endsAt": end, "createdBy": "shakedown", "comment": "a test"}
        return Silence(self.link.send("POST", "/api/v2/silences", json=body)["silenceID"])

    def expire(self, silence: Silence) -> None:
        """End a silence."""
        self.link.send("DELETE", f"/api/v2/silence/{silence.id}")


@dataclass(frozen=True)
class Delivery:
    """One alert in one notification that reached the receiver; `at` in seconds since 1970."""

    at: float
    status: str
    labels: Labels
    annotations: Labels
    group: Labels
    batch: int = field(compare=False)

    @property
    def name(self) -> str:
        """The name of the alert's rule."""
        return self.labels.get("alertname", "")


@dataclass(frozen=True)
class Sink:
    """The receiver in the cluster, which keeps what it was sent."""

    link: Link

    def deliveries(self) -> list[Delivery]:
        """Every alert of every notification so far, by time; `batch` counts the notifications."""
        found = sorted(self.link.get("/deliveries"), key=lambda each: float(each["at"]))
        return [
            Delivery(
                at=float(each["at"]),
                status=alert["status"],
                labels=alert["labels"],
                annotations=alert["annotations"],
                group=each["payload"].get("groupLabels", {}),
                batch=number,
            )
            for number, each in enumerate(found)
            for alert in each["payload"]["alerts"]
        ]
