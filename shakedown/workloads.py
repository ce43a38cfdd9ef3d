"""How the pods of a namespace are doing, in words that name the object, the reason, and what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kubernetes.client import ApiException

from shakedown.cluster import Cluster

# reasons that no waiting cures in a sealed cluster, and what to look at
HOPELESS = {
    "ErrImagePull": "the image can't be pulled: check its name and tag, and that it was delivered to the nodes",
    "ImagePullBackOff": "the image can't be pulled: check its name and tag, and that it was delivered to the nodes",
    "ErrImageNeverPull": "the image is not on the node and may not be pulled",
    "InvalidImageName": "the image's name is not valid",
    "CreateContainerConfigError": "a ConfigMap, Secret or key that the container names is missing",
    "CreateContainerError": "the container can't be made: check command, mounts and securityContext",
}
REPLACES = ("ReplicaSet", "StatefulSet", "DaemonSet")
LAST_LINES = 5
CRASHES = 3  # restarts after which a start-up isn't merely slow


@dataclass(frozen=True)
class Trouble:
    """What keeps one pod from being Ready; `hopeless` where waiting won't help."""

    pod: str
    text: str
    hopeless: bool


def troubles(cluster: Cluster, namespace: str, selector: str = "") -> list[Trouble]:
    """What keeps pods of a namespace from being Ready; pods that ended well are no trouble."""
    pods = cluster.core.list_namespaced_pod(namespace, label_selector=selector).items
    return [trouble for pod in pods if pod.metadata.deletion_timestamp is None for trouble in troubles_of(pod)]


def troubles_of(pod: Any) -> Iterator[Trouble]:  # noqa: ANN401 - the client ships no types
    """What keeps one pod from being Ready."""
    name, conditions = pod.metadata.name, {c.type: c for c in pod.status.conditions or []}
    scheduled, ready = conditions.get("PodScheduled"), conditions.get("Ready")
    if pod.status.phase == "Succeeded" or (ready and ready.status == "True"):
        return
    if pod.status.phase == "Failed":
        hopeless = not replaced(pod)
        yield Trouble(name, f"{owner_of(pod)}pod {name} failed: {reason_of_failure(pod)}", hopeless=hopeless)
    elif scheduled and scheduled.status == "False":
        yield Trouble(name, f"pod {name} can't be scheduled: {scheduled.message}", hopeless=False)
    statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    found = [trouble for status in statuses if (trouble := trouble_of_container(name, status))]
    yield from found
    if not statuses and not (scheduled and scheduled.status == "False"):
        yield Trouble(name, f"pod {name} is being started on {pod.spec.node_name}", hopeless=False)


def replaced(pod: Any) -> bool:  # noqa: ANN401 - the client ships no types
    """Whether a pod that has failed is made up for by another: what is left of it says nothing of its workload."""
    return any(owner.kind in REPLACES for owner in pod.metadata.owner_references or [])


def owner_of(pod: Any) -> str:  # noqa: ANN401 - the client ships no types
    """What made a pod, in words that go before its name."""
    owners = pod.metadata.owner_references or []
    return f"{owners[0].kind} {owners[0].name} failed: " if owners and owners[0].kind == "Job" else ""


def reason_of_failure(pod: Any) -> str:  # noqa: ANN401 - the client ships no types
    """Why a pod ended in failure: what its kubelet says, else how its containers ended."""
    if said := " ".join(filter(None, [pod.status.reason, pod.status.message])):
        return said
    ended = [(s.name, s.state.terminated) for s in pod.status.container_statuses or [] if s.state.terminated]
    return ", ".join(f"container {name} ended with exit code {last.exit_code}" for name, last in ended)


def trouble_of_container(pod: str, status: Any) -> Trouble | None:  # noqa: ANN401 - the client ships no types
    """What is wrong with one container, if anything is."""
    waiting, ended, before = status.state.waiting, status.state.terminated, status.last_state.terminated
    where = f"container {status.name} of pod {pod}"
    if waiting and waiting.reason in HOPELESS:
        return Trouble(pod, f"{where}: {waiting.reason}: {waiting.message}; {HOPELESS[waiting.reason]}", hopeless=True)
    last = ended or before
    if last and last.exit_code != 0:
        why = f"{last.reason}, exit code {last.exit_code}"
        hint = "; raise its memory limit" if last.reason == "OOMKilled" else f"; see kubectl logs --previous {pod}"
        text = f"{where} ended {status.restart_count or 1} times: {why}{hint}"
        return Trouble(pod, text, hopeless=(status.restart_count or 0) >= CRASHES)
    if waiting:
        return Trouble(pod, f"{where} waits: {waiting.reason} {waiting.message or ''}".strip(), hopeless=False)
    if status.state.running and not status.ready:
        return Trouble(pod, f"{where} runs but is not Ready", hopeless=False)
    return None


def last_words(cluster: Cluster, namespaces: Sequence[str]) -> str:
    """What pods that aren't Ready said last, and what their kubelets complained of; the first of each namespace.

    Where one is beyond hope, only such are heard: the others wait for it, or have nothing to do with it.
    """
    late = [(namespace, trouble) for namespace in namespaces for trouble in troubles(cluster, namespace)]
    lost = [(namespace, trouble) for namespace, trouble in late if trouble.hopeless]
    first = {namespace: trouble.pod for namespace, trouble in reversed(lost or late)}
    said = [
        text
        for namespace, pod in sorted(first.items())
        for text in (*log_end(cluster, namespace, pod), complaint(cluster, namespace, pod))
    ]
    return "; ".join(text for text in said if text)


def complaint(cluster: Cluster, namespace: str, pod: str) -> str:
    """The latest warning about a pod."""
    chosen = f"involvedObject.name={pod},type=Warning"
    events = cluster.core.list_namespaced_event(namespace, field_selector=chosen).items
    dated = [event for event in events if event.last_timestamp]
    latest = max(dated, key=lambda event: event.last_timestamp, default=None)
    return f"the latest of its warnings: {' '.join(latest.message.split())}" if latest else ""


def log_end(cluster: Cluster, namespace: str, pod: str) -> list[str]:
    """The last line of a pod's log, or of its container's run before that."""
    restarted = any(
        s.restart_count for s in cluster.core.read_namespaced_pod(pod, namespace).status.container_statuses or []
    )
    try:
        text = cluster.core.read_namespaced_pod_log(pod, namespace, tail_lines=LAST_LINES, previous=restarted)
    except ApiException as error:
        if error.status == HTTPStatus.BAD_REQUEST:  # no container of it ever started
            return []
        raise
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return [f"the end of its log: {lines[-1][:300]}"] if lines else []
