"""A canary beside the stable servers: told apart, watched apart, and nobody's before it is given a share."""

import pytest

from fixtures.canary import Canary
from fixtures.verdicts import Evidence
from models.canary import GOOD, STABLE
from shakedown.cluster import Cluster
from shakedown.grpc_client import predict_grpc
from shakedown.observe.prometheus import NoData, Prometheus
from shakedown.release import names_version
from shakedown.serving import Endpoint, Pod
from shakedown.settings import Deadlines
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed  # it is applied and taken away again
ASKED = 40


def answered_by(canary: Canary, door: Endpoint, count: int = ASKED) -> list[int]:
    """The versions that answer predictions through a door, one after another; 0 stands for nobody known."""
    oracle, model = canary.load.oracle, canary.names.model
    found = (door.predict_rest(model, oracle.images[row : row + 1])[0] for row in range(count))
    return [oracle.version_of(row, answer) for row, answer in enumerate(found)]


def test_canary_reaches_no_user_as_it_ships(canary: Canary, evidence: Evidence) -> None:
    """Applied and ready, the canary gets its first user when somebody gives it a share, and not before."""
    seen = answered_by(canary, canary.door)
    met = [version for version in seen if version != STABLE]
    assert not met, f"{len(met)} of {len(seen)} users met the canary; see the weights in manifests/components/canary"
    evidence(f"{len(seen)} users, all answered by version {STABLE}")


def test_testers_header_leads_to_the_canary_and_no_other_value_does(canary: Canary, evidence: Evidence) -> None:
    """With the header each tester reaches the canary, over REST and gRPC; with another value, or none, nobody does."""
    model, image = canary.names.model, canary.load.oracle.images[:1]
    testers = answered_by(canary, canary.testers)
    assert set(testers) == {GOOD}, f"with the header testers were answered by versions {set(testers)}"
    _, over_grpc = predict_grpc(canary.testers, model, image)
    assert over_grpc == GOOD, f"over gRPC a tester was answered by version {over_grpc}"
    for value in ("0", "11", "true"):
        other = Endpoint("others", canary.door.rest, canary.door.grpc, canary.door.host, (("x-canary", value),))
        seen, (_, called) = set(answered_by(canary, other, 10)), predict_grpc(other, model, image)
        assert seen | {called} == {STABLE}, f"x-canary: {value} reaches versions {seen | {called}}"
    evidence(f"{len(testers)} testers by REST and one by gRPC reached version {GOOD}, 33 with another value did not")


def leads_to(cluster: Cluster, namespace: str, service: str) -> set[str]:
    """The pods that a Service leads to."""
    slices = cluster.get(
        f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        f"?labelSelector=kubernetes.io/service-name={service}"
    )["items"]
    return {each["targetRef"]["name"] for item in slices for each in item["endpoints"] or []}


def test_each_service_leads_to_its_own_track(
    canary: Canary, cluster: Cluster, servers: list[Pod], evidence: Evidence
) -> None:
    """The stable Service leads to every stable server and not to the canary, the canary's to the canary alone."""
    stable, own = (leads_to(cluster, canary.names.namespace, name) for name in canary.services)
    assert canary.pod.name not in stable, f"Service {canary.services[0]} leads to the canary too; see its selector"
    assert stable == {pod.name for pod in servers}, f"Service {canary.services[0]} leads to {sorted(stable)}"
    assert own == {canary.pod.name}, f"Service {canary.services[1]} leads to {sorted(own)}"
    evidence(f"{len(stable)} stable servers and 1 canary, each behind its own Service")


def test_canary_is_watched_apart(
    canary: Canary, prometheus: Prometheus, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Prometheus scrapes the canary's server under a job of its own, from its first minute on."""
    series = f'up{{job="{canary.services[1]}", pod="{canary.pod.name}"}}'

    def watched() -> None:
        try:
            up = prometheus.value(series)
        except NoData as nothing:
            raise NotYet(f"{nothing}; does the ServiceMonitor select Service {canary.services[1]}?") from nothing
        if up != 1:
            raise NotYet(f"{series} is {up}")

    eventually(watched, within=deadlines.pods, awaited="the canary is scraped")
    evidence(f"{series} is 1")


def test_canary_runs_a_version_that_can_be_named(canary: Canary, cluster: Cluster, evidence: Evidence) -> None:
    """The image that runs is the one that its manifest pins: what was judged is what gets promoted."""
    container = cluster.core.read_namespaced_pod(canary.pod.name, canary.names.namespace).spec.containers[0]
    assert names_version(container.image), (
        f"the canary runs {container.image}: pin it in manifests/base/serving/deployment.yaml"
    )
    evidence(f"the canary runs {container.image}")
