"""What becomes of a workload after a fault: its pods and endpoints as they change, and the times of each stage."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from shakedown.cluster import Cluster
from shakedown.ledger import now
from shakedown.observe.kubernetes import pod_fields, sight_of
from shakedown.observe.watch import Sight

LOOK_S = 0.25  # how often the API server is asked; what is measured is no finer than this


@dataclass(frozen=True)
class Seen:
    """One pod at one moment: `run` counts its container's runs, `deleting` where its end has been ordered."""

    name: str
    uid: str
    node: str
    ready: bool
    deleting: bool
    run: int


@dataclass(frozen=True)
class Snapshot:
    """A workload at one moment on the ledger's clock: its pods, and the names of those that the Service leads to."""

    at: float
    pods: tuple[Seen, ...]
    serving: frozenset[str]

    @property
    def good(self) -> frozenset[str]:
        """Those of them that are Ready and not on their way out: an endpoint may outlive its pod for a while."""
        return self.serving & {pod.name for pod in self.pods if pod.ready and not pod.deleting}

    def find(self, name: str) -> Seen | None:
        """One pod; None where it isn't there."""
        return next((pod for pod in self.pods if pod.name == name), None)


class Film:
    """The snapshots of one workload so far, one for each change; `look` is for a watcher."""

    def __init__(self, cluster: Cluster, namespace: str, selector: str, service: str) -> None:
        self.cluster, self.namespace, self.service = cluster, namespace, service
        self.snapshots = list[Snapshot]()
        self.looked = 0.0  # when last, on the ledger's clock, whether anything had changed or not
        self.pods = f"/api/v1/namespaces/{namespace}/pods?labelSelector={quote(selector)}"
        chosen = quote(f"kubernetes.io/service-name={service}")
        self.slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector={chosen}"

    def look(self) -> list[Sight]:
        """Ask once, and keep what has changed; the ledger gets `endpoints` (whom the Service leads to) and `pod`."""
        items = self.cluster.get(self.pods)["items"]
        entries = [e for item in self.cluster.get(self.slices)["items"] for e in item["endpoints"] or []]
        serving = frozenset(e["targetRef"]["name"] for e in entries if e["conditions"].get("ready"))
        pods = tuple(sorted((seen_of(item) for item in items), key=lambda pod: pod.name))
        last = self.snapshots[-1] if self.snapshots else None
        if last is None or (last.pods, last.serving) != (pods, serving):
            self.snapshots.append(Snapshot(now(), pods, serving))
        self.looked = now()
        whom = Sight("endpoints", self.service, {"name": self.service, "ready": sorted(serving)})
        return [whom, *(sight_of(pod_fields(item)) for item in items)]

    def since(self, moment: float) -> list[Snapshot]:
        """What it was at a moment, and every change after it."""
        before = [snapshot for snapshot in self.snapshots if snapshot.at < moment][-1:]
        return before + [snapshot for snapshot in self.snapshots if snapshot.at >= moment]


def seen_of(item: Mapping[str, Any]) -> Seen:
    """A pod as the API server tells of it."""
    fields: dict[str, Any] = pod_fields(item)
    meta = item["metadata"]
    return Seen(meta["name"], meta["uid"], fields["node"], fields["ready"], fields["ending"], fields["restarts"])


@dataclass(frozen=True)
class Stages:
    """Seconds from the injection to each stage, None for one that was not seen to come.

    `noticed` is the first change of the victim that the API server tells of, `out` the moment from which the Service
    leads to it no more, `replaced` the first Ready pod (or run of the container) that was not there before, `whole`
    the moment from which the Service leads to as many Ready pods as before and they stay: 0 where it never led to
    fewer.
    """

    noticed: float | None
    out: float | None
    replaced: float | None
    whole: float | None

    def __str__(self) -> str:
        names = {"noticed": self.noticed, "out of rotation": self.out, "replaced": self.replaced, "whole": self.whole}
        return ", ".join(f"{name} {'not seen' if s is None else f'{s:.1f} s'}" for name, s in names.items())


def stages(snapshots: Sequence[Snapshot], victims: frozenset[str], began: float) -> Stages:
    """The stages of a recovery, by the snapshots from the one before the fault on. Raises ValueError without any."""
    if not snapshots:
        raise ValueError("the workload was never looked at")
    before, after = snapshots[0], snapshots[1:]
    old = {(pod.uid, pod.run) for pod in before.pods}
    changed = [s for s in after if any(s.find(victim) != before.find(victim) for victim in victims)]
    out = [s for s in after if victims and not victims & s.serving]
    fresh = [s for s in after if any(pod.ready and (pod.uid, pod.run) not in old for pod in s.pods)]
    whole = whole_since(after, len(before.good), began)
    return Stages(first(changed, began), first(out, began), first(fresh, began), whole)


def first(found: Sequence[Snapshot], began: float) -> float | None:
    """Seconds to the first of these snapshots."""
    return found[0].at - began if found else None


def whole_since(after: Sequence[Snapshot], wanted: int, began: float) -> float | None:
    """Seconds from which on the Service led to as many as before, 0 for all along; None where it doesn't at the end."""
    since: float | None = 0.0
    for snapshot in after:
        if len(snapshot.good) < wanted:
            since = None
        elif since is None:
            since = snapshot.at - began
    return since


def describe(snapshot: Snapshot) -> str:
    """Its pods in words."""
    states = [
        f"{pod.name} {'ending' if pod.deleting else 'Ready' if pod.ready else 'not Ready'}, run {pod.run}"
        for pod in snapshot.pods
    ]
    return "; ".join(states) or "no pods"


Done = Callable[[Snapshot], str]  # what is missing, in words; empty where nothing is


def whole(count: int) -> Done:
    """The Service leads to at least so many pods, and none is on its way out."""

    def lacking(seen: Snapshot) -> str:
        ending = [pod.name for pod in seen.pods if pod.deleting]
        if len(seen.good) < count:
            return f"the Service leads to {len(seen.good)} of {count} that are Ready"
        return f"{', '.join(ending)} still ending" if ending else ""

    return lacking


def rid_of(victims: Collection[str], count: int) -> Done:
    """The victims are gone altogether, and others have made up for them."""

    def lacking(seen: Snapshot) -> str:
        left = [victim for victim in victims if seen.find(victim)]
        return f"{', '.join(left)} still there" if left else whole(count)(seen)

    return lacking


def run_anew(victim: str, run: int, count: int) -> Done:
    """The victim's container has been started again after this run of it, and takes part again."""

    def lacking(seen: Snapshot) -> str:
        pod = seen.find(victim)
        if pod is None or pod.run <= run:
            return f"{victim} not started again"
        return whole(count)(seen)

    return lacking


def withdrawn(victims: Collection[str]) -> Done:
    """The Service leads to none of the victims."""

    def lacking(seen: Snapshot) -> str:
        left = sorted(seen.serving.intersection(victims))
        return f"the Service still leads to {', '.join(left)}" if left else ""

    return lacking


def made_up_for(victims: Collection[str], count: int) -> Done:
    """Others have taken the victims' part, who may still be there: a lost node can't say that they ended."""

    def lacking(seen: Snapshot) -> str:
        if len(seen.good.difference(victims)) < count:
            return f"the Service leads to {len(seen.good.difference(victims))} others of {count} that are Ready"
        return withdrawn(victims)(seen)

    return lacking


def replaced_pods(before: Snapshot, after: Snapshot) -> tuple[set[str], set[str]]:
    """The names of the pods that went, and of those that came."""
    old, new = {pod.uid: pod.name for pod in before.pods}, {pod.uid: pod.name for pod in after.pods}
    return {old[uid] for uid in old.keys() - new.keys()}, {new[uid] for uid in new.keys() - old.keys()}


def restarted_pods(before: Snapshot, after: Snapshot) -> set[str]:
    """The names of the pods whose containers were started again, in the same pod."""
    runs = {pod.uid: pod.run for pod in before.pods}
    return {pod.name for pod in after.pods if pod.run > runs.get(pod.uid, pod.run)}
