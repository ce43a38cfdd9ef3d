"""The account that existing clusters give to a run can do what the run needs, and nothing beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.stack import MANIFESTS
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.cluster.access import CommandFailed
from shakedown.manifests import Stack
from shakedown.serving import Pod
from shakedown.settings import Deployment

pytestmark = [pytest.mark.smoke, pytest.mark.test_bed]

ACCESS = MANIFESTS / "access"
ACCOUNT = "--as=system:serviceaccount:{d.namespace}:shakedown"
TRIED = "--dry-run=server"  # the API server decides as if it were meant, and does nothing
# what a run does; in the namespace that is judged unless another is named
NEEDED = (
    "get pods",
    "get nodes",
    "get poddisruptionbudgets",
    f"delete pod {{pod}} {TRIED}",
    f"annotate deployment {{d.workload}} x=y {TRIED}",
    f"annotate horizontalpodautoscaler {{d.workload}} x=y {TRIED}",
    f"annotate namespace {{d.namespace}} x=y {TRIED}",
    f"create configmap shakedown-broken-path {TRIED}",
    "logs {pod} --tail=1",
)
# what nobody should have to grant
TOO_MUCH = (
    "get secrets",
    "get pods --namespace=kube-system",
    "get pods --all-namespaces",
    "get namespaces",
    "exec {pod} -- true",
    f"delete deployment {{d.workload}} {TRIED}",
    f"delete service {{d.service}} {TRIED}",
    f"delete configmap {{config}} {TRIED}",
    f"delete pods --all --namespace=gateway {TRIED}",
    f"delete namespace {{d.namespace}} {TRIED}",
    f"annotate namespace gateway x=y {TRIED}",
    f"annotate node {{node}} x=y {TRIED}",
    f"annotate service {{d.service}} x=y {TRIED}",
    f"create serviceaccount x {TRIED}",
    f"create rolebinding x --clusterrole=admin --serviceaccount={{d.namespace}}:shakedown {TRIED}",
    f"create job x --image=x {TRIED}",
    f"scale deployment {{d.workload}} --replicas=0 {TRIED}",
)


@pytest.fixture
def account(cluster: Cluster, stack: Stack, deployment: Deployment) -> Iterator[str]:  # noqa: ARG001 - it is up
    """The account with the rights of manifests/access, as kubectl's option to act as it."""
    place = Path(ACCESS)
    cluster.kubectl("apply", "--server-side", f"--kustomize={place}")
    yield ACCOUNT.format(d=deployment)
    cluster.kubectl("delete", f"--kustomize={place}", "--ignore-not-found")


def refusal(cluster: Cluster, account: str, namespace: str, command: str) -> str:
    """Why the API server forbids a command to an account; empty where it lets it. Raises CommandFailed otherwise."""
    place = [] if "namespace" in command.partition(" ")[2] else [f"--namespace={namespace}"]
    words, dashes, program = command.partition(" -- ")
    try:
        cluster.kubectl(*words.split(), *place, account, *([dashes.strip(), *program.split()] if dashes else []))
    except CommandFailed as error:
        if "forbidden" not in error.stderr.lower():
            raise
        return error.stderr.strip()
    return ""


def test_account_for_existing_clusters_can_do_what_it_needs_and_nothing_else(
    cluster: Cluster, stack: Stack, servers: list[Pod], deployment: Deployment, account: str, evidence: Evidence
) -> None:
    """What a run does is granted to the account of manifests/access, and what it must not do is forbidden."""
    volumes = stack.find("Deployment", deployment.workload)["spec"]["template"]["spec"]["volumes"]
    config = next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
    names = {"d": deployment, "pod": servers[0].name, "node": servers[0].node, "config": config}
    tried = {each: refusal(cluster, account, deployment.namespace, each.format(**names)) for each in NEEDED + TOO_MUCH}
    lacking = [f"{each}: {tried[each]}" for each in NEEDED if tried[each]]
    granted = [each for each in TOO_MUCH if not tried[each]]
    assert not lacking, f"manifests/access/rbac.yaml grants too little: {lacking}"
    assert not granted, f"manifests/access/rbac.yaml grants too much: {granted}"
    evidence(f"{len(NEEDED)} things that a run does are granted, {len(TOO_MUCH)} others forbidden")
