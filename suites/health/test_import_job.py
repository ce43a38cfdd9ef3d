"""Models come whole: the import Job ended well, may be run again, and puts nothing half-copied before a server."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from inotify_simple import INotify, flags

from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.manifests import Manifest, Stack, apply
from shakedown.serving import Endpoint
from shakedown.settings import Deadlines, Deployment
from shakedown.verdict import Inconclusive
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed  # it writes into the model store

JOB = "model-import"


def store_of(cluster: Cluster, deployment: Deployment) -> Path:
    """The folder of the model's versions on the host."""
    if cluster.store is None:
        raise Inconclusive("the model store can only be looked into on a cluster of this run")
    return cluster.store / deployment.model


def run_again(cluster: Cluster, job: Manifest, within: float) -> None:
    """Delete the import Job and apply it again, and wait until it has ended well."""
    namespace = job["metadata"]["namespace"]
    cluster.kubectl("delete", "job", JOB, f"--namespace={namespace}", f"--timeout={within:g}s", timeout=within + 10)
    apply(cluster, [job], within)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder: {path: (inode, nanoseconds of its last change)}."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.mark.smoke
def test_import_job_ended_well(
    cluster: Cluster, stack: Stack, deployment: Deployment, golden_versions: list[int], evidence: Evidence
) -> None:
    """The Job is complete, at its first attempt, and says that every version of the bundle is in the store."""
    status = cluster.get(f"/apis/batch/v1/namespaces/{deployment.namespace}/jobs/{JOB}")["status"]
    assert stack.find("Job", JOB)
    assert status.get("succeeded") == 1, f"Job {JOB}: {status}"
    assert not status.get("failed"), f"Job {JOB} needed {status['failed']} more attempts; see its pods' logs"
    said = cluster.kubectl("logs", f"job/{JOB}", f"--namespace={deployment.namespace}")
    missing = [version for version in golden_versions if f"version {version} " not in said]
    assert not missing, f"versions {missing} are not spoken of in the Job's log: {said.strip()}"
    evidence(f"complete at the first attempt: {'; '.join(said.strip().splitlines())}")


def test_import_job_may_run_again_and_changes_nothing(
    cluster: Cluster,
    stack: Stack,
    deployment: Deployment,
    deadlines: Deadlines,
    replicas: dict[str, Endpoint],
    evidence: Evidence,
) -> None:
    """Run a second time, the Job completes, touches no file in the store, and no server loads anything anew."""
    before = listing(store_of(cluster, deployment))
    states = {name: endpoint.status(deployment.model) for name, endpoint in replicas.items()}
    run_again(cluster, stack.find("Job", JOB), deadlines.pods)
    assert before, "the store is empty"
    assert listing(store_of(cluster, deployment)) == before
    assert {name: endpoint.status(deployment.model) for name, endpoint in replicas.items()} == states
    evidence(f"completed again; {len(before)} files untouched; {len(states)} servers still at {states.popitem()[1]}")


@contextmanager
def watched(folder: Path) -> Iterator[INotify]:
    """Every file and folder that comes into a folder, and how."""
    with INotify() as watch:
        watch.add_watch(folder, flags.CREATE | flags.MOVED_TO)
        yield watch


def test_version_is_imported_whole(
    cluster: Cluster,
    stack: Stack,
    deployment: Deployment,
    deadlines: Deadlines,
    served: int,
    golden_versions: list[int],
    evidence: Evidence,
) -> None:
    """A version that is imported appears in the store with all its files at once, so that no poll finds half of it."""
    folder = store_of(cluster, deployment)
    older = next(version for version in golden_versions if version != served)
    complete = set(listing(folder / str(older)))
    shutil.rmtree(folder / str(older))  # nobody serves it, the policy takes the highest
    with watched(folder) as watch:
        run_again(cluster, stack.find("Job", JOB), deadlines.pods)
        came = [event for event in watch.read(timeout=0) if event.name == str(older)]

    def whole() -> None:
        if (found := set(listing(folder / str(older)))) != complete:
            raise NotYet(f"{len(found)} of {len(complete)} files")

    eventually(whole, within=deadlines.packet, awaited=f"version {older} is back")
    assert came, f"version {older} was not seen to come: nothing was watched"
    assert all(event.mask & flags.MOVED_TO for event in came), (
        f"version {older} was written in place: a server that polls meanwhile loads half of it "
        "(tensorflow/serving#1086); copy beside the store's folder and rename"
    )
    evidence(f"version {older} with {len(complete)} files came by one rename")
