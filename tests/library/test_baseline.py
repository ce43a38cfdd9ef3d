"""How a used cluster is brought back: an API server in memory stands for the cluster."""

from typing import Any

import pytest

from shakedown.cluster import baseline
from shakedown.verdict import Failed


class MemoryCluster:
    """Answers the few paths that the baseline asks, and forgets what is deleted (a namespace with its content)."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn, self.deleted = stubborn, list[str]()
        self.objects: dict[str, dict[str, Any]] = {}
        self.put_back = ""
        self.api = self

    def put(self, path: str, **state: Any) -> None:
        name, place = path.rsplit("/", 1)[1], path.split("/namespaces/")
        space = place[1].split("/")[0] if len(place) > 1 and "/" in place[1] else None
        self.objects[path] = {"metadata": {"name": name, **({"namespace": space} if space else {})}, **state}

    def get(self, path: str) -> dict[str, Any]:
        verbs = ["list", "delete"]
        if path == "/apis":
            return {"groups": []}
        if path == "/api/v1":
            kinds = {"namespaces": False, "configmaps": True, "persistentvolumes": False}
            return {"resources": [{"name": k, "namespaced": n, "verbs": verbs} for k, n in kinds.items()]}
        kind = path.rsplit("/", 1)[1]
        return {"items": [item for at, item in self.objects.items() if at.rsplit("/", 2)[1] == kind]}

    def param_serialize(self, method: str, path: str, **_: Any) -> tuple[str, str]:
        return method, path

    def call_api(self, _: str, path: str) -> Any:
        self.deleted.append(path)
        if not self.stubborn:
            self.objects = {at: o for at, o in self.objects.items() if at != path and not at.startswith(f"{path}/")}
        if path == self.put_back:
            self.put_back = ""
            self.put(path)
        return type("Answer", (), {"status": 200, "read": lambda _: b""})()


@pytest.fixture
def used() -> tuple[MemoryCluster, dict[str, str]]:
    cluster = MemoryCluster()
    cluster.put("/api/v1/namespaces/kube-system")
    cluster.put("/api/v1/namespaces/kube-system/configmaps/coredns", data={"Corefile": "a"})
    clean = baseline.inventory(cluster)  # type: ignore[arg-type] # a cluster in memory
    cluster.put("/api/v1/namespaces/stack")
    cluster.put("/api/v1/namespaces/stack/configmaps/models", data={})
    cluster.put("/api/v1/persistentvolumes/store", spec={})
    return cluster, clean


def test_what_came_on_top_is_deleted_and_namespaces_take_their_content_along(
    used: tuple[MemoryCluster, dict[str, str]],
) -> None:
    cluster, clean = used
    left = baseline.restore(cluster, clean, within=1)  # type: ignore[arg-type] # a cluster in memory
    assert cluster.deleted == ["/api/v1/namespaces/stack", "/api/v1/persistentvolumes/store"]
    assert (left.extra, left.beyond_repair) == ((), ())


def test_what_is_changed_or_missing_can_not_be_repaired(used: tuple[MemoryCluster, dict[str, str]]) -> None:
    cluster, clean = used
    cluster.put("/api/v1/namespaces/kube-system/configmaps/coredns", data={"Corefile": "tampered"})
    left = baseline.restore(cluster, clean, within=1)  # type: ignore[arg-type] # a cluster in memory
    assert left.beyond_repair == ("/api/v1/namespaces/kube-system/configmaps/coredns",)


def test_what_a_controller_on_its_way_out_puts_back_is_deleted_again(
    used: tuple[MemoryCluster, dict[str, str]],
) -> None:
    cluster, clean = used
    cluster.put_back = "/api/v1/persistentvolumes/store"
    left = baseline.restore(cluster, clean, within=1)  # type: ignore[arg-type] # a cluster in memory
    assert cluster.deleted.count("/api/v1/persistentvolumes/store") == 2
    assert left.extra == ()


def test_an_object_that_stays_is_named(used: tuple[MemoryCluster, dict[str, str]]) -> None:
    cluster, clean = used
    cluster.stubborn = True
    with pytest.raises(Failed, match=r"3 objects still there, the first /api/v1/namespaces/stack"):
        baseline.restore(cluster, clean, within=0.3)  # type: ignore[arg-type] # a cluster in memory
