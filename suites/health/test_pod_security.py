"""No pod of the stack can gain rights on its node, and the API server itself sees to that."""

import pytest
import yaml

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.cluster.access import CommandFailed
from shakedown.lab import hardened_manifest
from shakedown.manifests import Manifest, Stack
from shakedown.settings import Deployment

pytestmark = [pytest.mark.smoke, pytest.mark.test_bed]

PROBE = "shakedown-pod-security"
LEVEL = "pod-security.kubernetes.io/enforce"


def guarded(deployment: Deployment) -> list[str]:
    """The namespaces that serve: the model's and the front door's."""
    return [deployment.namespace, "gateway"]


def refusal(cluster: Cluster, pod: Manifest) -> str:
    """The API server's words where it would refuse a pod (nothing is made); empty where it would take it."""
    try:
        cluster.kubectl("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(pod))
    except CommandFailed as refused:
        return refused.stderr.strip()
    return ""


def privileged(namespace: str) -> Manifest:
    """The harmless probing pod, but privileged."""
    pod = hardened_manifest(namespace, PROBE, {})
    spec: Manifest = pod["spec"]  # type: ignore[assignment]  # a mapping, as pods have it
    spec["containers"][0]["securityContext"] = {"privileged": True}
    return pod


def test_privileged_pod_is_refused_where_a_harmless_one_is_taken(
    cluster: Cluster, stack: Stack, deployment: Deployment, evidence: Evidence
) -> None:
    """In the stack's namespaces the API server refuses a privileged pod by pod security, and takes a harmless one."""
    assert stack.objects
    levels = {
        name: (cluster.core.read_namespace(name).metadata.labels or {}).get(LEVEL, "none")
        for name in guarded(deployment)
    }
    for namespace, level in levels.items():
        control = refusal(cluster, hardened_manifest(namespace, PROBE, {}))
        assert not control, f"even a harmless pod is refused in {namespace}: {control}"
        said = refusal(cluster, privileged(namespace))
        assert "violates PodSecurity" in said, (
            f"namespace {namespace} takes a privileged pod: its label {LEVEL} is {level}; set it to restricted"
            f"{f' (it was refused for another reason: {said})' if said else ''}"
        )
    evidence(f"privileged refused and harmless taken in {levels}")


def rights_on_the_node(pod: Manifest) -> list[str]:
    """What a running pod's spec lets it do to its node."""
    spec = pod["spec"]
    shared = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    mounts = [f"hostPath {v['hostPath']['path']}" for v in spec.get("volumes", []) if "hostPath" in v]
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    contexts = [
        (each["name"], {**spec.get("securityContext", {}), **each.get("securityContext", {})}) for each in containers
    ]
    loose = [f"{name} privileged" for name, context in contexts if context.get("privileged")]
    loose += [f"{name} may gain privileges" for name, c in contexts if c.get("allowPrivilegeEscalation") is not False]
    loose += [f"{name} may run as root" for name, c in contexts if not c.get("runAsNonRoot")]
    return [*shared, *mounts, *loose]


def test_no_running_pod_has_rights_on_its_node(
    cluster: Cluster, stack: Stack, deployment: Deployment, evidence: Evidence
) -> None:
    """Every pod that runs in the stack's namespaces is unprivileged, not root, and shares nothing of its node."""
    assert stack.objects
    pods = [p for name in guarded(deployment) for p in cluster.get(f"/api/v1/namespaces/{name}/pods")["items"]]
    loose = {pod["metadata"]["name"]: found for pod in pods if (found := rights_on_the_node(pod))}
    assert not loose, f"pods with rights on their node: {loose}; see securityContext"
    assert len(pods) >= 2, f"only {len(pods)} pods were looked at"
    evidence(f"{len(pods)} pods in {', '.join(guarded(deployment))}")
