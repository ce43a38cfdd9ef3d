"""While the load lasts, what the autoscaler reads goes away, or its servers are rolled out anew: capacity stays."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from fixtures.autoscaling import ADAPTER, MONITORING, Scaling
from fixtures.tide import Surge
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.faults.inject import Faults
from shakedown.faults.workloads import rolled_out_with, scaled_to_nothing
from shakedown.ledger import now
from shakedown.observe.kubernetes import hpa
from shakedown.observe.watch import require_sight
from shakedown.rollout import await_rollout
from shakedown.settings import Deadlines, Objectives
from shakedown.wait import NotYet, eventually

pytestmark = [pytest.mark.test_bed, pytest.mark.conformance]
EVENT_S = 1.0  # events are dated in whole seconds
EVENTS = 25  # of one object that client-go lets through at once (defaultSpamBurst); afterwards one in 5 minutes
CPU = "cpu"


@dataclass(frozen=True)
class Source:
    """Where a metric comes from, a resource's or another.

    `reason` is that of the event which misses it, `active` what ScalingActive is meanwhile.
    """

    namespace: str
    name: str
    reason: str
    active: str
    resource: bool

    def metric(self, scaling: Scaling) -> str:
        """The metric's name, as the autoscaler has it."""
        return CPU if self.resource else scaling.scaler.metric


# One metric that works keeps ScalingActive True, unless it asks for fewer servers than there are: then the autoscaler
# trusts nobody and holds the size (computeReplicasForMetrics in Kubernetes' podautoscaler/horizontal.go).
SOURCES = (
    Source(MONITORING, ADAPTER, "FailedGetExternalMetric", "False FailedGetExternalMetric", resource=False),
    Source("kube-system", "metrics-server", "FailedGetResourceMetric", "True ValidMetricFound", resource=True),
)


def misses(cluster: Cluster, scaling: Scaling, source: Source) -> str:
    """What the autoscaler says while it lacks one metric. Raises NotYet where it has a value, or says otherwise."""
    (seen,) = hpa(cluster, scaling.namespace, scaling.name)()
    read, active = seen.fields["metrics"], seen.fields["conditions"].get("ScalingActive")
    told = f"it reads {read}, ScalingActive is {active}"
    if read.get(source.metric(scaling)) is not None or active != source.active:
        raise NotYet(told)
    return told


def warning(cluster: Cluster, scaling: Scaling, reason: str, since: datetime) -> str:
    """The autoscaler's latest warning with a reason since a moment, or why there can't be one. Raises NotYet."""
    events = cluster.core.list_namespaced_event(
        scaling.namespace,
        field_selector=f"involvedObject.kind=HorizontalPodAutoscaler,involvedObject.name={scaling.name}",
    ).items
    dated = [each for each in events if each.reason == reason and each.last_timestamp]
    late = [each for each in dated if (each.last_timestamp - since).total_seconds() >= -EVENT_S]
    spent = sum(each.count or 1 for each in events)
    if late:
        return f"{reason}: {' '.join(late[-1].message.split())[:120]}"
    if spent >= EVENTS:
        return f"no warning: {spent} events came before, and Kubernetes lets {EVENTS} through, then one in 5 minutes"
    raise NotYet(f"no event {reason} of HorizontalPodAutoscaler {scaling.name}, though only {spent} came so far")


def reads_all(cluster: Cluster, scaling: Scaling) -> dict[str, str]:
    """What the autoscaler reads. Raises NotYet unless it has a value for CPU and for the rate."""
    (seen,) = hpa(cluster, scaling.namespace, scaling.name)()
    read: dict[str, str] = seen.fields["metrics"]
    active = seen.fields["conditions"].get("ScalingActive", "")
    if not {CPU, scaling.scaler.metric} <= {name for name, value in read.items() if value} or active[:4] != "True":
        raise NotYet(f"it reads {read}, ScalingActive is {active}")
    return read


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_metric_that_stops_coming_takes_no_server_and_is_told_of(
    surge: Surge, cluster: Cluster, faults: Faults, source: Source, evidence: Evidence
) -> None:
    """Without one of its metrics the autoscaler keeps what the load needs, says what it misses, and reads on later."""
    scaling, pace = surge.scaling, surge.scaling.pace
    soon = pace.window + 2 * pace.sync + pace.scrape
    began, since = now(), datetime.now(UTC)

    def told() -> str:
        return f"{misses(cluster, scaling, source)}; {warning(cluster, scaling, source.reason, since)}"

    with faults.inject(scaled_to_nothing(cluster, source.namespace, source.name)) as fault:
        said = eventually(told, within=soon, awaited=f"{scaling.name} tells that {source.name} is missing")
        surge.users.collect(scaling.scaler.down_window + 2 * pace.sync)
        awaited = f"HorizontalPodAutoscaler {scaling.name} still lacks {source.name}"
        eventually(lambda: misses(cluster, scaling, source), within=2 * pace.sync, awaited=awaited)
    again = eventually(lambda: reads_all(cluster, scaling), within=scaling.out_within, awaited="it reads all again")
    users = surge.judge(began)
    evidence(f"{fault.said}; {said}; {surge.size} servers throughout; {users}; then it reads {again}")


def test_roll_out_during_load_keeps_capacity(
    surge: Surge, cluster: Cluster, faults: Faults, deadlines: Deadlines, objectives: Objectives, evidence: Evidence
) -> None:
    """Servers are replaced one by one while the load needs them: never fewer are ready, and no prediction fails."""
    scaling, began = surge.scaling, now()

    def anew(template: dict[str, Any]) -> None:
        template["metadata"].setdefault("annotations", {})["shakedown.dev/rolled-out"] = "during-load"

    place = (cluster, scaling.namespace, scaling.name)
    with faults.inject(rolled_out_with(*place, anew)) as fault:
        await_rollout(*place, deadlines.rollout)
    await_rollout(*place, deadlines.rollout)
    seen = surge.ledger.window(began)
    require_sight(seen, "pods", began, now())
    ready = min(int(each.fields["ready"]) for each in seen if each.kind == "pods")
    assert ready >= surge.size, f"only {ready} of {surge.size} servers were ready; see strategy.rollingUpdate"
    users = surge.judge(began)
    users.assert_within(objectives.crowded)
    evidence(f"{fault.said}; there and back never fewer than {ready} ready; {users}")
