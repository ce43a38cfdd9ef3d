"""While the load lasts, what the autoscaler reads goes away, or its servers are rolled out anew: capacity stays."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fixtures.autoscaling import Scaling
from fixtures.tide import Surge
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.faults.inject import Faults
from shakedown.faults.workloads import rolled_out_with, scaled_to_nothing
from shakedown.ledger import now
from shakedown.observe.kubernetes import hpa
from shakedown.rollout import await_rollout
from shakedown.settings import Deadlines
from shakedown.wait import NotYet, eventually

pytestmark = [pytest.mark.test_bed, pytest.mark.conformance, pytest.mark.timeout(3600)]
EVENT_S = 1.0  # events are dated in whole seconds
ADAPTER = ("monitoring", "prometheus-adapter", "FailedGetExternalMetric")
METRICS_SERVER = ("kube-system", "metrics-server", "FailedGetResourceMetric")


def complaint(cluster: Cluster, scaling: Scaling, reason: str, since: datetime) -> str:
    """The latest warning of the autoscaler with a reason. Raises NotYet without one since a moment."""
    chosen = f"involvedObject.name={scaling.name},reason={reason}"
    found = cluster.core.list_namespaced_event(scaling.namespace, field_selector=chosen).items
    late = [each for each in found if each.last_timestamp and (each.last_timestamp - since).total_seconds() >= -EVENT_S]
    if not late:
        raise NotYet(f"no event {reason} of HorizontalPodAutoscaler {scaling.name}")
    return f"{reason}: {' '.join(late[-1].message.split())[:120]}"


def reads_all(cluster: Cluster, scaling: Scaling) -> dict[str, str]:
    """What the autoscaler reads. Raises NotYet unless it has a value for CPU and for the rate."""
    (seen,) = hpa(cluster, scaling.namespace, scaling.name)()
    read: dict[str, str] = seen.fields["metrics"]
    active = seen.fields["conditions"].get("ScalingActive", "")
    if not {"cpu", scaling.scaler.metric} <= {name for name, value in read.items() if value} or active[:4] != "True":
        raise NotYet(f"it reads {read}, ScalingActive is {active}")
    return read


@pytest.mark.parametrize("part", [ADAPTER, METRICS_SERVER], ids=lambda part: part[1])
def test_metric_that_stops_coming_takes_no_server_and_is_told_of(
    surge: Surge, cluster: Cluster, faults: Faults, part: tuple[str, str, str], evidence: Evidence
) -> None:
    """Without one of its metrics the autoscaler keeps what the load needs, says what it misses, and reads on later."""
    scaling, (namespace, name, reason) = surge.scaling, part
    pace = scaling.pace
    began, since = now(), datetime.now(UTC)
    with faults.inject(scaled_to_nothing(cluster, namespace, name)) as fault:
        told = eventually(
            lambda: complaint(cluster, scaling, reason, since),
            within=pace.window + 2 * pace.sync + pace.scrape,
            awaited=f"HorizontalPodAutoscaler {scaling.name} tells that it misses a metric",
        )
        surge.users.collect(scaling.scaler.down_window + 2 * pace.sync)
    again = eventually(lambda: reads_all(cluster, scaling), within=scaling.out_within, awaited="it reads all again")
    users = surge.judge(began)
    evidence(f"{fault.said}; {told}; {surge.size} servers throughout; {users}; then it reads {again}")


def test_roll_out_during_load_keeps_capacity(
    surge: Surge, cluster: Cluster, faults: Faults, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Servers are replaced one by one while the load needs them: never fewer are ready, and no prediction fails."""
    scaling, began = surge.scaling, now()

    def anew(template: dict[str, Any]) -> None:
        template["metadata"].setdefault("annotations", {})["shakedown.dev/rolled-out"] = "during-load"

    place = (cluster, scaling.namespace, scaling.name)
    with faults.inject(rolled_out_with(*place, anew)) as fault:
        await_rollout(*place, deadlines.rollout)
    await_rollout(*place, deadlines.rollout)
    ready = min(int(each.fields["ready"]) for each in surge.ledger.window(began, kind="pods"))
    assert ready >= surge.size, f"only {ready} of {surge.size} servers were ready; see strategy.rollingUpdate"
    users = surge.judge(began)
    evidence(f"{fault.said}; there and back never fewer than {ready} ready; {users}")
