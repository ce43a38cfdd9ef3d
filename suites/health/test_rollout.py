"""What was applied is what runs: every roll-out is complete, and the Service leads to exactly the ready servers."""

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.manifests import ROLLED_OUT, Stack, api_path, lateness_of_rollout
from shakedown.serving import Pod
from shakedown.settings import Deadlines, Deployment, Objectives
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.smoke


def test_every_rollout_is_complete_at_its_latest_generation(
    cluster: Cluster, stack: Stack, deployment: Deployment, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Each workload's controller has taken up the latest change, and every pod is of it and available."""
    workloads = [item for item in stack.objects if item["kind"] in ROLLED_OUT]

    def complete() -> list[str]:
        seen = [cluster.get(api_path(item)) for item in workloads]
        late = [
            reason
            for item, now in zip(workloads, seen, strict=True)
            if (reason := lateness_of_rollout(item["kind"], item["metadata"]["name"], now))
        ]
        if late:
            raise NotYet("; ".join(late))
        return [f"{s['metadata']['name']} at generation {s['metadata']['generation']}" for s in seen]

    out = eventually(complete, within=deadlines.pods, awaited="every workload is rolled out")
    assert deployment.workload in {item["metadata"]["name"] for item in workloads}, f"only {out}: no server is applied"
    evidence(", ".join(out))


def test_as_many_servers_are_ready_as_the_autoscaler_promises(
    stack: Stack, servers: list[Pod], deployment: Deployment, objectives: Objectives, evidence: Evidence
) -> None:
    """At least the autoscaler's minimum of servers is ready, and that is at least the objective."""
    least = stack.find("HorizontalPodAutoscaler", deployment.workload)["spec"].get("minReplicas", 1)
    assert least >= objectives.replicas, (
        f"HorizontalPodAutoscaler {deployment.workload}: minReplicas is {least}, the objective is {objectives.replicas}"
    )
    ready = [pod.name for pod in servers if pod.ready]
    assert len(ready) >= least, f"{len(ready)} of {len(servers)} servers ready, the HPA promises {least}"
    evidence(f"{len(ready)} servers ready, the HPA promises {least}")


def test_service_leads_to_exactly_the_ready_servers(
    cluster: Cluster, servers: list[Pod], deployment: Deployment, deadlines: Deadlines, evidence: Evidence
) -> None:
    """The Service's endpoints are the ready servers' addresses, all of them and nobody else's, on each port."""
    wanted = {pod.address for pod in servers if pod.ready}
    path = f"/apis/discovery.k8s.io/v1/namespaces/{deployment.namespace}/endpointslices"
    query = f"?labelSelector=kubernetes.io%2Fservice-name%3D{deployment.service}"

    def agreed() -> set[int]:
        slices = cluster.get(path + query)["items"]
        entries = [entry for item in slices for entry in item["endpoints"] or []]
        found = {a for entry in entries if entry["conditions"].get("ready") for a in entry["addresses"]}
        if found != wanted:
            hint = "; does its selector match the pods' labels?" if not found else ""
            raise NotYet(f"it leads to {sorted(found) or 'nobody'}, ready are {sorted(wanted)}{hint}")
        return {port["port"] for item in slices for port in item["ports"]}

    ports = eventually(agreed, within=deadlines.packet, awaited=f"Service {deployment.service} leads to its servers")
    assert ports == {*deployment.public_ports, deployment.metrics_port} - {0}
    evidence(f"{len(wanted)} addresses on ports {sorted(ports)}")
