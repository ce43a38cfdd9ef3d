"""A cluster that the user names; taken only where the namespace says that it may be."""

import shutil
from pathlib import Path

from kubernetes import client, config

from shakedown.cluster.access import Cluster
from shakedown.settings import OPT_IN_LABEL, Provider
from shakedown.verdict import UnusableEnvironment


def existing_cluster(context: str, kubeconfig: Path, namespace: str, gateway_port: int) -> Cluster:
    """The cluster of a kube context, with the namespace's opt-in checked.

    Raises UnusableEnvironment for a context that is not there (naming those that are), an API server that
    doesn't answer, and a namespace that lacks the label.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise UnusableEnvironment("kubectl is not on PATH; install it, it is what applies manifests")
    require_context(context, kubeconfig)
    cluster = Cluster(
        name=context,
        provider=Provider.EXISTING,
        kubeconfig=kubeconfig,
        context=context,
        kubectl_bin=Path(kubectl),
        owned=False,
        gateway_port=gateway_port,
    )
    require_opt_in(cluster, namespace)
    return cluster


def require_context(context: str, kubeconfig: Path) -> None:
    """Refuse a context that the kubeconfig doesn't name. Raises UnusableEnvironment, with those that it does."""
    if context not in (known := contexts(kubeconfig)):
        raise UnusableEnvironment(
            f"there is no context {context} in {kubeconfig}; there is {', '.join(known) or 'none at all'}"
            " (--kubeconfig names another file; KUBECONFIG is not read)"
        )


def contexts(kubeconfig: Path) -> list[str]:
    """The contexts that a kubeconfig names; none where the file is missing or empty."""
    if not kubeconfig.is_file() or not kubeconfig.read_text().strip():
        return []
    try:
        listed, _ = config.list_kube_config_contexts(str(kubeconfig))
    except config.ConfigException as error:
        raise UnusableEnvironment(f"{kubeconfig} can't be read as a kubeconfig: {error}") from error
    return sorted(entry["name"] for entry in listed)


def require_opt_in(cluster: Cluster, namespace: str) -> None:
    """Refuse a namespace that its owner hasn't opened to disturbances."""
    how = f"kubectl --context {cluster.context} label namespace {namespace} {OPT_IN_LABEL}=true"
    try:
        labels = cluster.core.read_namespace(namespace).metadata.labels or {}
    except client.ApiException as error:
        if error.status == 404:
            raise UnusableEnvironment(f"context {cluster.context} has no namespace {namespace!r}") from error
        raise UnusableEnvironment(f"context {cluster.context}: {error.status} {error.reason}") from error
    except Exception as error:
        raise UnusableEnvironment(
            f"the API server of context {cluster.context} doesn't answer: {type(error).__name__}: {error}"
        ) from error
    if labels.get(OPT_IN_LABEL) != "true":
        raise UnusableEnvironment(
            f"namespace {namespace!r} of context {cluster.context} has not opted in to faults and load; "
            f"whoever owns it may run: {how}"
        )
