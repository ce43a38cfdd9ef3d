"""REST, gRPC, metrics and DNS are reachable where they should be and nowhere else; each denial beside a control."""

from collections.abc import Mapping

import numpy as np
import pytest

from fixtures.verdicts import Evidence
from shakedown.backends.wire import Wire
from shakedown.cluster import Cluster
from shakedown.lab import GUEST, Lab, Reach, Visitors, connect_all
from shakedown.serving import Endpoint, Pod
from shakedown.settings import Deadlines, Deployment
from shakedown.wait import NotYet, eventually

pytestmark = [pytest.mark.smoke, pytest.mark.test_bed]

Targets = dict[str, tuple[str, int]]


def ports_of(servers: list[Pod], *ports: int) -> Targets:
    """These ports of every server."""
    return {f"{pod.name}:{port}": (pod.address, port) for pod in servers for port in ports}


def await_all(lab: Lab, targets: Targets, deadlines: Deadlines, who: str) -> dict[str, Reach]:
    """Wait until a guest reaches all of these; a policy takes a moment to learn a new pod."""

    def reached() -> dict[str, Reach]:
        found = connect_all(lab, GUEST, targets, deadlines.packet)
        if closed := refusals(found):
            raise NotYet("; ".join(closed))
        return found

    return eventually(reached, within=deadlines.packet * 4, awaited=f"{who} reaches {len(targets)} doors")


def refusals(found: Mapping[str, Reach]) -> list[str]:
    """What was not reached, and how that looked."""
    return [f"{name}: {reach.said}" for name, reach in found.items() if not reach.reached]


def open_doors(found: Mapping[str, Reach]) -> list[str]:
    """What was reached."""
    return [name for name, reach in found.items() if reach.reached]


def test_gateway_reaches_every_server_over_rest_and_grpc(
    visitors: Visitors, servers: list[Pod], deployment: Deployment, deadlines: Deadlines, evidence: Evidence
) -> None:
    """From the gateway's namespace the ports of every server are open, REST's and gRPC's where it has one."""
    doors = ports_of(servers, *deployment.public_ports)
    found = await_all(visitors.gateway, doors, deadlines, "the gateway's namespace")
    evidence(f"{len(found)} of {len(found)} ports open")


@pytest.mark.asks_for("grpc")
def test_monitoring_reaches_the_metrics_port_and_not_grpc(
    visitors: Visitors, servers: list[Pod], deployment: Deployment, deadlines: Deadlines, evidence: Evidence
) -> None:
    """From the monitoring namespace every server's HTTP port is open, where the metrics are, and the gRPC port not."""
    doors = ports_of(servers, deployment.rest_port)
    opened = await_all(visitors.monitoring, doors, deadlines, "monitoring's namespace")
    grpc = connect_all(visitors.monitoring, GUEST, ports_of(servers, deployment.grpc_port), 1)
    assert not open_doors(grpc), f"monitoring gets in at {open_doors(grpc)}; see NetworkPolicy {deployment.workload}"
    evidence(f"{len(opened)} HTTP ports open, {len(grpc)} gRPC ports closed")


def test_another_namespace_reaches_no_server(
    visitors: Visitors, servers: list[Pod], deployment: Deployment, deadlines: Deadlines, evidence: Evidence
) -> None:
    """From `default` and from a namespace that nobody named no server is reached; from the gateway's all are."""
    targets = ports_of(servers, *deployment.public_ports)
    strangers = (visitors.stranger, visitors.default)
    found = {
        f"{door} from {lab.namespace}": reach
        for lab in strangers
        for door, reach in connect_all(lab, GUEST, targets, 1).items()
    }
    control = await_all(visitors.gateway, targets, deadlines, "the gateway's namespace")
    assert not open_doors(found), f"a stranger gets in at {open_doors(found)}; see NetworkPolicy {deployment.workload}"
    assert len(found) == len(strangers) * len(control)
    evidence(f"{len(control)} ports closed to each of {len(strangers)} strangers, all open to the gateway")


def doors_elsewhere(cluster: Cluster, visitors: Visitors, own: Targets) -> list[tuple[Lab, Targets]]:
    """Doors on other ports and in other places than a server may ask, each group with a guest that may go there."""
    dns = cluster.core.list_namespaced_pod("kube-system", label_selector="k8s-app=kube-dns").items[0]
    traefik = cluster.core.list_namespaced_pod("gateway", label_selector="app.kubernetes.io/name=traefik").items[0]
    api = cluster.core.read_namespaced_service("kubernetes", "default").spec.cluster_ip
    open_to_all = {
        "API server:443": (api, 443),
        "DNS pod's metrics:9153": (dns.status.pod_ip, 9153),
        "gateway:8000": (traefik.status.pod_ip, 8000),
        "pod of default:8080": (visitors.default.ready(GUEST).address, 8080),
    }
    return [(visitors.stranger, open_to_all), (visitors.gateway, own)]


def test_server_reaches_dns_and_nothing_else(
    cluster: Cluster,
    visitors: Visitors,
    servers: list[Pod],
    deployment: Deployment,
    deadlines: Deadlines,
    evidence: Evidence,
) -> None:
    """Under the servers' policy the DNS answers by UDP and TCP; what others reach on other ports and hosts does not."""
    dns = cluster.core.read_namespaced_service("kube-dns", "kube-system").spec.cluster_ip
    await_all(visitors.server, {"DNS over TCP": (dns, 53)}, deadlines, "a server")
    named = visitors.server.connect(GUEST, "kubernetes.default.svc.cluster.local", 443, 1)
    elsewhere = doors_elsewhere(cluster, visitors, ports_of(servers[:1], *deployment.public_ports))
    for lab, targets in elsewhere:
        await_all(lab, targets, deadlines, f"a pod in {lab.namespace}")
    found = connect_all(
        visitors.server, GUEST, {name: door for _, doors in elsewhere for name, door in doors.items()}, 1
    )
    assert not open_doors(found), f"a server gets out to {open_doors(found)}; see NetworkPolicy {deployment.workload}"
    assert named.said == "TIMEOUT", f"a name that DNS over UDP knows: wanted it found and closed, got {named.said}"
    evidence(f"DNS by TCP and UDP; closed, and open to a pod that may: {', '.join(found)}")


def test_metrics_are_served_to_monitoring_and_not_through_the_front_door(
    visitors: Visitors,
    servers: list[Pod],
    gateway: Endpoint,
    deployment: Deployment,
    wire: Wire,
    deadlines: Deadlines,
    evidence: Evidence,
) -> None:
    """Monitoring reads every server's metrics at the path where they are; users don't get them at the gateway."""
    port = deployment.metrics_port or deployment.rest_port
    await_all(visitors.monitoring, ports_of(servers, port), deadlines, "monitoring's namespace")
    urls = [f"http://{pod.address}:{port}{wire.metrics_path}" for pod in servers]
    pages = [visitors.monitoring.fetch(GUEST, url) for url in urls]
    without = [url for url, page in zip(urls, pages, strict=True) if wire.counted not in page]
    assert not without, f"no {wire.counted} at {without}"
    unknown = gateway.post(wire.prediction_path("nobody"), wire.question(np.zeros((1, 784), np.float32)))
    assert unknown.status_code == 404, f"the front door doesn't answer: HTTP {unknown.status_code}"
    assert wire.refusal(unknown.json()), "it is no server's answer"
    public = gateway.get(wire.metrics_path)
    assert public.status_code == 404, f"the front door hands out {wire.metrics_path}: HTTP {public.status_code}"
    assert wire.counted not in public.text
    evidence(f"{len(pages)} pages of metrics read by monitoring; at the front door HTTP {public.status_code}")
