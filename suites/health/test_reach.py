"""REST, gRPC, metrics and DNS are reachable where they should be and nowhere else; each denial beside a control."""

from collections.abc import Mapping

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.lab import GUEST, Lab, Reach, Visitors, connect_all
from shakedown.serving import GRPC_PORT, HTTP_PORT, METRICS_PATH, Endpoint, Pod
from shakedown.settings import Deadlines
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.smoke

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
    visitors: Visitors, servers: list[Pod], deadlines: Deadlines, evidence: Evidence
) -> None:
    """From the gateway's namespace both ports of every server are open."""
    found = await_all(visitors.gateway, ports_of(servers, HTTP_PORT, GRPC_PORT), deadlines, "the gateway's namespace")
    evidence(f"{len(found)} of {len(found)} ports open")


def test_monitoring_reaches_the_metrics_port_and_not_grpc(
    visitors: Visitors, servers: list[Pod], deadlines: Deadlines, evidence: Evidence
) -> None:
    """From the monitoring namespace every server's HTTP port is open, where the metrics are, and the gRPC port not."""
    opened = await_all(visitors.monitoring, ports_of(servers, HTTP_PORT), deadlines, "monitoring's namespace")
    grpc = connect_all(visitors.monitoring, GUEST, ports_of(servers, GRPC_PORT), 1)
    assert not open_doors(grpc), f"monitoring gets in at {open_doors(grpc)}; see NetworkPolicy tensorflow-serving"
    evidence(f"{len(opened)} HTTP ports open, {len(grpc)} gRPC ports closed")


def test_another_namespace_reaches_no_server(
    visitors: Visitors, servers: list[Pod], deadlines: Deadlines, evidence: Evidence
) -> None:
    """From a namespace that nobody named no server is reached on any port, while the gateway reaches them all."""
    targets = ports_of(servers, HTTP_PORT, GRPC_PORT)
    found = connect_all(visitors.stranger, GUEST, targets, 1)
    control = await_all(visitors.gateway, targets, deadlines, "the gateway's namespace")
    assert not open_doors(found), f"a stranger gets in at {open_doors(found)}; see NetworkPolicy tensorflow-serving"
    evidence(f"{len(found)} ports closed to a stranger, {len(control)} open to the gateway")


def test_server_reaches_dns_and_nothing_else(
    cluster: Cluster, visitors: Visitors, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Under the servers' policy the DNS answers over UDP and TCP; API server and other pods, open to others, don't."""
    dns = cluster.core.read_namespaced_service("kube-dns", "kube-system").spec.cluster_ip
    await_all(visitors.server, {"DNS over TCP": (dns, 53)}, deadlines, "a server")
    named = visitors.server.connect(GUEST, "kubernetes.default.svc.cluster.local", 443, 1)
    targets = {
        "API server": (cluster.core.read_namespaced_service("kubernetes", "default").spec.cluster_ip, 443),
        "pod of monitoring": (visitors.monitoring.ready(GUEST).address, 8080),
    }
    control = await_all(visitors.stranger, targets, deadlines, "a stranger")
    found = connect_all(visitors.server, GUEST, targets, 1)
    assert named.said == "TIMEOUT", f"a name that DNS over UDP knows: wanted it found and closed, got {named.said}"
    assert not open_doors(found), f"a server gets out to {open_doors(found)}; see NetworkPolicy tensorflow-serving"
    evidence(f"DNS by TCP and UDP; closed: {', '.join(found)}, which a stranger reaches ({len(control)} of 2)")


def test_metrics_are_served_to_monitoring_and_not_through_the_front_door(
    visitors: Visitors, servers: list[Pod], gateway: Endpoint, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Monitoring reads every server's metrics at the path where they are; users don't get them at the gateway."""
    await_all(visitors.monitoring, ports_of(servers, HTTP_PORT), deadlines, "monitoring's namespace")
    urls = [f"http://{pod.address}:{HTTP_PORT}{METRICS_PATH}" for pod in servers]
    pages = [visitors.monitoring.fetch(GUEST, url) for url in urls]
    without = [url for url, page in zip(urls, pages, strict=True) if ":tensorflow:serving:request_count" not in page]
    assert not without, f"no request_count at {without}"
    assert gateway.get("/v1/models/nobody").status_code == 404, "the front door doesn't answer"
    public = gateway.get(METRICS_PATH)
    assert public.status_code == 404, f"the front door hands out {METRICS_PATH}: HTTP {public.status_code}"
    assert "tensorflow:serving" not in public.text
    evidence(f"{len(pages)} pages of metrics read by monitoring; at the front door HTTP {public.status_code}")
