"""What watches is disturbed itself: history and alerts outlive the pods of Prometheus and Alertmanager."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fixtures.verdicts import Evidence
from shakedown.causes import Scene, changed, pinned_autoscaler
from shakedown.cluster import Cluster
from shakedown.course import Expected, Monitoring, await_delivery, await_firing, await_over, plan
from shakedown.observe.link import Unreachable
from shakedown.observe.prometheus import NoData
from shakedown.settings import Deadlines, Deployment
from shakedown.wait import NotYet, eventually

pytestmark = [
    pytest.mark.test_bed,  # monitoring is taken away for a while
    pytest.mark.timeout(3600),  # as long as an alert takes on the faithful clock; each wait has a bound of its own
]
PLACE = "monitoring"
OPERATED = f"/apis/monitoring.coreos.com/v1/namespaces/{PLACE}/alertmanagers/main"
CONTAINER = "prometheus"
HISTORY_S = 30  # of samples that must outlive the pod
REPLICAS = f"/apis/apps/v1/namespaces/{PLACE}/statefulsets/alertmanager-main"


def claims(cluster: Cluster, pod: str) -> dict[str, str]:
    """The claims that a pod of monitoring mounts: {name: uid}."""
    volumes = cluster.core.read_namespaced_pod(pod, PLACE).spec.volumes
    names = [v.persistent_volume_claim.claim_name for v in volumes if v.persistent_volume_claim]
    found = {n: cluster.core.read_namespaced_persistent_volume_claim(n, PLACE).metadata.uid for n in names}
    assert found, f"{pod} mounts no claim: its history goes with it"
    return found


def test_killed_prometheus_keeps_its_history_and_goes_on_judging(
    cluster: Cluster, quiet: float, monitoring: Monitoring, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Prometheus comes back on the same claim, with what it knew before, and its rules are evaluated again."""
    pod, prometheus = "prometheus-main-0", monitoring.prometheus
    asked = time.time()
    before, kept = prometheus.points("up", HISTORY_S), claims(cluster, pod)
    uid = cluster.core.read_namespaced_pod(pod, PLACE).metadata.uid
    killed = time.time()
    cluster.kubectl("delete", "pod", pod, f"--namespace={PLACE}", "--grace-period=0", "--force")

    def back() -> float:
        items = cluster.core.list_namespaced_pod(PLACE).items
        new = [each for each in items if each.metadata.name == pod and each.metadata.uid != uid]
        runs = [s.state.running for each in new for s in each.status.container_statuses or [] if s.name == CONTAINER]
        if not runs or not runs[0]:
            raise NotYet("no new Prometheus runs yet")
        since = runs[0].started_at.timestamp() + 1  # it is told in whole seconds, and the old one may judge until then
        try:
            if down := [target.pool for target in prometheus.targets() if not target.up]:
                raise NotYet(f"{len(down)} targets are not scraped yet, the first {down[0]}")
            judged = [at for one in prometheus.points("ALERTS", 60) for at, _ in one.points if at > since]
        except (Unreachable, NoData) as silent:
            raise NotYet(str(silent)) from silent
        if not judged:
            raise NotYet("no rule has been evaluated since")
        return min(judged)

    resumed = eventually(back, within=deadlines.stack, awaited="a new Prometheus evaluates rules")
    assert quiet
    assert claims(cluster, pod) == kept
    reach = HISTORY_S + math.ceil(time.time() - asked) + 1  # to before the oldest sample of then: none may seem lost
    after = {point for one in prometheus.points("up", reach) for point in one.points}
    lost = [point for one in before for point in one.points if point not in after]
    assert not lost, f"{len(lost)} samples from before the kill are gone"
    evidence(f"judging again {resumed - killed:.1f} s after the kill, claim {', '.join(kept)} and every sample kept")


@contextmanager
def no_alertmanager(scene: Scene) -> Iterator[None]:
    """Alertmanager is away for a while, and its operator doesn't bring it back; up again at the end."""

    def gone() -> None:
        if scene.cluster.core.list_namespaced_pod(PLACE, label_selector="alertmanager=main").items:
            raise NotYet("its pod is still there")

    def back() -> None:
        status = scene.cluster.get(REPLICAS)["status"]
        if not status.get("readyReplicas"):
            raise NotYet("no pod of it is Ready")

    try:
        with changed(scene, OPERATED, "/spec/paused", value=True), changed(scene, REPLICAS, "/spec/replicas", 0):
            eventually(gone, within=scene.within, awaited="Alertmanager is gone")
            scene.told("alertmanager-away", "alertmanager-main", "proven", "no pod of it is left")
            yield
    finally:
        eventually(back, within=scene.within, awaited="Alertmanager is back")
        scene.told("alertmanager-away", "alertmanager-main", "restored")


def test_alert_that_began_while_alertmanager_was_away_is_delivered_once_it_is_back(
    quiet: float,
    monitoring: Monitoring,
    scene: Scene,
    deployment: Deployment,
    promised: float,
    evidence: Evidence,
) -> None:
    """An outage of Alertmanager delays what fires meanwhile, and loses nothing."""
    pinned = Expected("AutoscalerAtMaximum", {"horizontalpodautoscaler": deployment.workload})
    made = plan(monitoring, pinned, promised)
    again = monitoring.prometheus.resends_after() + made.rule.interval
    began = time.time()
    with pinned_autoscaler(scene, deployment.workload) as proof:
        with no_alertmanager(scene):
            await_firing(monitoring, made)
            early = [d for d in monitoring.sink.deliveries() if d.at >= began and pinned.fits(d.labels)]
        back = time.time()
        told = await_delivery(monitoring, made, "firing", began, again + made.ceiling("delivered"))
    gone = time.time()
    await_over(monitoring, made)
    await_delivery(monitoring, made, "resolved", gone, again + made.ceiling("told"))
    assert quiet
    assert not early, "it was delivered while Alertmanager was away, so it was not away"
    evidence(f"{proof}; fired while Alertmanager was away, delivered {told.at - back:.1f} s after it was back")
