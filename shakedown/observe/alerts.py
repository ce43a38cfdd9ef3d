"""Looks at alerts for watchers: pending and firing in Prometheus, delivered and told as over at the receiver."""

import time

from shakedown.ledger import now
from shakedown.observe.alertmanager import Delivery, Sink
from shakedown.observe.prometheus import Alert, Labels, Prometheus
from shakedown.observe.watch import Look, Sight


def on_the_ledgers_clock(epoch: float) -> float:
    """A time in seconds since 1970 as the ledger counts; cluster and suite share one machine's clocks."""
    return epoch - time.time() + now()


def known_by(labels: Labels) -> str:
    """What tells one alert from the next."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def in_prometheus(prometheus: Prometheus) -> Look:
    """Looks at pending and firing alerts; what it sees is `alert` in the ledger, with state `inactive` at the end.

    Fields: `alertname`, `state`, `labels`. Pending is dated by Prometheus itself, the others when they are seen.
    """

    def sight(alert: Alert) -> Sight:
        fields = {"alertname": alert.name, "state": alert.state, "labels": dict(alert.labels)}
        at = on_the_ledgers_clock(alert.since) if alert.state == "pending" else None
        return Sight("alert", known_by(alert.labels), fields, at, farewell={**fields, "state": "inactive"})

    return lambda: [sight(alert) for alert in prometheus.alerts()]


def at_the_sink(sink: Sink) -> Look:
    """Looks at what reached the receiver; what it sees is `alert` in the ledger, with state `delivered` or `resolved`.

    Each is dated by the receiver.
    """

    def sight(told: Delivery) -> Sight:
        state = "delivered" if told.status == "firing" else "resolved"
        fields = {"alertname": told.name, "state": state, "labels": dict(told.labels)}
        return Sight("alert", f"{told.at}/{told.batch}/{known_by(told.labels)}", fields, on_the_ledgers_clock(told.at))

    return lambda: [sight(told) for told in sink.deliveries()]
