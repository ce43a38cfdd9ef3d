"""The server's account may do nothing in the Kubernetes API."""

import json

import pytest

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.manifests import Stack
from shakedown.serving import Pod
from shakedown.settings import Deployment

pytestmark = [pytest.mark.smoke, pytest.mark.test_bed]

# asking who one is and what one may: every account may do that
ABOUT_ONESELF = {"authorization.k8s.io", "authentication.k8s.io"}


def rights(cluster: Cluster, namespace: str, account: str) -> list[str]:
    """What an account may do to objects of a namespace, as the API server itself says when asked as that account."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    said = cluster.kubectl(
        *("create", "--filename=-", "--output=json", "--validate=false", f"--as=system:serviceaccount:{account}"),
        stdin=json.dumps(review),
    )
    status = json.loads(said)["status"]
    assert not status.get("incomplete"), f"the API server can't say: {status.get('evaluationError')}"
    return [
        f"{'/'.join(rule['verbs'])} {'/'.join(rule['resources'])}"
        for rule in status["resourceRules"]
        if not set(rule["apiGroups"]) <= ABOUT_ONESELF
    ]


def test_servers_account_may_do_nothing_in_the_api(
    cluster: Cluster, stack: Stack, deployment: Deployment, evidence: Evidence
) -> None:
    """The server's account has no right in any namespace; the gateway's, asked the same way, has those it needs."""
    pod = stack.find("Deployment", deployment.workload)["spec"]["template"]["spec"]
    account = pod["serviceAccountName"]
    spaces = [item.metadata.name for item in cluster.core.list_namespace().items]
    granted = [
        f"{right} in {space}"
        for space in spaces
        for right in rights(cluster, space, f"{deployment.namespace}:{account}")
    ]
    assert not granted, f"account {account} may {'; '.join(granted)}; unbind it"
    control = rights(cluster, deployment.namespace, "gateway:traefik")
    assert any("services" in right for right in control), f"the control account's rights are not seen: {control}"
    evidence(f"account {account}: no right in {len(spaces)} namespaces; control gateway:traefik: {len(control)} rules")


def test_no_server_holds_a_token(
    cluster: Cluster, servers: list[Pod], deployment: Deployment, evidence: Evidence
) -> None:
    """No server has a token of the API mounted, and the gateway, which needs one, has."""
    running = [cluster.core.read_namespaced_pod(pod.name, deployment.namespace) for pod in servers]
    holding = [pod.metadata.name for pod in running if holds_token(pod)]
    assert not holding, f"a token is mounted in {', '.join(holding)}; see automountServiceAccountToken"
    gateways = cluster.core.list_namespaced_pod("gateway", label_selector="app.kubernetes.io/name=traefik").items
    assert any(holds_token(pod) for pod in gateways), "not even the gateway's token is seen: this check sees nothing"
    evidence(f"{len(running)} servers without a token; the gateway has one")


def holds_token(pod: object) -> bool:
    """Whether a volume of a pod brings a service account's token."""
    volumes = getattr(getattr(pod, "spec", None), "volumes", None) or []
    sources = [source for volume in volumes if volume.projected for source in volume.projected.sources]
    return any(source.service_account_token for source in sources)
