"""What a fresh cluster holds, and how a used one is brought back to that."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiException

from shakedown.cluster.access import Cluster
from shakedown.wait import NotYet, eventually

# made and remade by the control plane as it runs: of no meaning for cleanness
PASSING = frozenset({
    "bindings", "componentstatuses", "controllerrevisions", "endpoints", "endpointslices", "events", "ipaddresses",
    "leases", "nodes/status", "pods", "replicasets", "certificatesigningrequests", "csinodes", "podmetrics",
})  # fmt: skip
GONE = (404, 503)  # of an API whose definition or server was deleted a moment ago
STATE = ("spec", "data", "rules", "roleRef", "subjects", "webhooks", "provisioner")


@dataclass(frozen=True)
class Collection:
    """One kind of object as the API server lists it."""

    path: str
    resource: str
    namespaced: bool


def collections(cluster: Cluster) -> Iterator[Collection]:
    """Every kind of object that can be listed and deleted, once (the group's preferred version)."""
    roots = ["/api/v1"]
    roots += [f"/apis/{g['preferredVersion']['groupVersion']}" for g in cluster.get("/apis")["groups"]]
    for root in roots:
        try:
            resources = cluster.get(root)["resources"]
        except ApiException as gone:  # an aggregated API whose server was deleted, and whose APIService is next
            if gone.status in GONE:
                continue
            raise
        for resource in resources:
            if {"list", "delete"} <= set(resource["verbs"]) and resource["name"] not in PASSING:
                yield Collection(root, resource["name"], resource["namespaced"])


def inventory(cluster: Cluster) -> dict[str, str]:
    """Each object's path in the API, and a digest of what it asks for (not of its status)."""
    found = {}
    for collection in collections(cluster):
        for item in items_of(cluster, collection):
            found[path_of(collection, item)] = digest_of(collection, item)
    return found


def items_of(cluster: Cluster, collection: Collection) -> list[dict[str, Any]]:
    """The objects of one kind; none where the kind itself has gone since it was listed."""
    try:
        return list(cluster.get(f"{collection.path}/{collection.resource}").get("items", []))
    except ApiException as gone:
        if gone.status in GONE:
            return []
        raise


def path_of(collection: Collection, item: dict[str, Any]) -> str:
    """Where the API server keeps the object."""
    meta = item["metadata"]
    place = f"/namespaces/{meta['namespace']}" if collection.namespaced else ""
    return f"{collection.path}{place}/{collection.resource}/{meta['name']}"


def digest_of(collection: Collection, item: dict[str, Any]) -> str:
    """A short digest of the object's wanted state, and of a node's and namespace's labels."""
    wanted = {key: item[key] for key in STATE if key in item}
    if collection.resource in ("nodes", "namespaces"):
        wanted["labels"] = item["metadata"].get("labels", {})
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Drift:
    """How a cluster differs from its baseline: paths of objects."""

    extra: tuple[str, ...]
    missing: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def beyond_repair(self) -> tuple[str, ...]:
        """What deleting can't bring back."""
        return self.missing + self.changed


def drift(cluster: Cluster, baseline: dict[str, str]) -> Drift:
    """What is there too much, too little, or otherwise than in the baseline."""
    seen = inventory(cluster)
    return Drift(
        extra=tuple(sorted(seen.keys() - baseline.keys())),
        missing=tuple(sorted(baseline.keys() - seen.keys())),
        changed=tuple(sorted(p for p in seen.keys() & baseline.keys() if seen[p] != baseline[p])),
    )


def restore(cluster: Cluster, baseline: dict[str, str], within: float) -> Drift:
    """Delete all that is not in the baseline, wait until it is gone, and say what still differs.

    Aggregated APIs go first: one whose server is gone holds up the deletion of every namespace. A namespace takes
    what is in it along.
    """
    delete_all(cluster, drift(cluster, baseline).extra)

    def gone() -> Drift:
        """The kept cluster is back at its baseline."""
        left = drift(cluster, baseline)
        if left.extra:
            delete_all(cluster, left.extra)  # a controller on its way out may have put something back
            raise NotYet(f"{len(left.extra)} objects still there, the first {left.extra[0]}")
        return left

    return eventually(gone, within=within)


def delete_all(cluster: Cluster, extra: Sequence[str]) -> None:
    """Ask the API server to delete these objects, but for those that go with their namespace."""
    doomed = [f"{path.removeprefix('/api/v1')}/" for path in extra if re.fullmatch(r"/api/v1/namespaces/[^/]+", path)]
    for path in sorted(extra, key=order_of_deletion):
        if not any(namespace in path for namespace in doomed):
            delete(cluster, path)


def order_of_deletion(path: str) -> tuple[int, str]:
    """Webhooks and aggregated APIs first, since they can block the rest; definitions of kinds last."""
    last = ("/customresourcedefinitions/", "/priorityclasses/")
    first = ("/apiservices/", "webhookconfigurations/", "/validatingadmissionpolic")
    return (0 if any(f in path for f in first) else 2 if any(x in path for x in last) else 1, path)


def delete(cluster: Cluster, path: str) -> None:
    """Ask the API server to delete one object; one that is gone already is fine."""
    request = cluster.api.param_serialize("DELETE", path, auth_settings=["BearerToken"])
    response = cluster.api.call_api(*request)
    response.read()
    if response.status not in (200, 202, 404):
        raise ApiException(status=response.status, reason=f"DELETE {path}: {response.reason}")
