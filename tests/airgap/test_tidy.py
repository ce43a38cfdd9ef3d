from pathlib import Path

import pytest
from filelock import FileLock

from airgap import tidy
from airgap.cache import BuildError


@pytest.fixture
def clusters(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two clusters' folders; gives back the names of those that are deleted."""
    deleted: list[str] = []
    for name in ("a-fast", "b-fast"):
        (private_cache / "clusters" / name).mkdir(parents=True)
    monkeypatch.setattr(tidy, "delete_cluster", deleted.append)
    return deleted


def test_one_cluster_is_deleted_and_no_other(clusters: list[str]) -> None:
    assert tidy.clean_cluster("a-fast") == 0
    assert clusters == ["a-fast"]


def test_a_cluster_that_is_not_there_is_told_beside_those_that_are(clusters: list[str]) -> None:
    with pytest.raises(BuildError, match="no cluster 'a'; there is a-fast, b-fast"):
        tidy.clean_cluster("a")
    assert clusters == []


def test_a_cluster_in_use_stays(clusters: list[str], private_cache: Path) -> None:
    with FileLock(private_cache / "clusters" / ".a-fast.lock"), pytest.raises(BuildError, match="is in use by a run"):
        tidy.clean_cluster("a-fast")
    assert clusters == []
