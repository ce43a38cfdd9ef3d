"""A Job that is run again in the middle of a fault."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shakedown.cluster import Cluster
from shakedown.faults.guard import Radius
from shakedown.faults.undo import AnyAct, send
from shakedown.wait import NotYet


@dataclass(frozen=True)
class JobRunAgain:
    """A Job is deleted and made anew from its manifest, as whoever imports a model does.

    Nothing undoes it: it is wanted, and the next start applies it where a killed run left it out.
    """

    cluster: Cluster
    manifest: Mapping[str, Any]
    within: float

    name: str = "job-run-again"
    undo: tuple[AnyAct, ...] = ()

    @property
    def namespace(self) -> str:
        """The Job's."""
        found: str = self.manifest["metadata"]["namespace"]
        return found

    @property
    def job(self) -> str:
        """The Job's name."""
        found: str = self.manifest["metadata"]["name"]
        return found

    @property
    def target(self) -> str:
        """The Job."""
        return f"{self.namespace}/{self.job}"

    @property
    def path(self) -> str:
        """Where the API server keeps the namespace's Jobs."""
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    @property
    def radius(self) -> Radius:
        """Its namespace; no pod that serves."""
        return Radius(frozenset({self.namespace}))

    def inject(self) -> None:
        """Delete it, wait until it is gone, and make it anew."""
        place = (self.job, f"--namespace={self.namespace}", f"--timeout={self.within:g}s")
        self.cluster.kubectl("delete", "job", *place, timeout=self.within + 10)
        send(self.cluster, "POST", self.path, dict(self.manifest))

    def prove(self) -> str:
        """A pod of it has begun."""
        status = self.status()
        begun = sum(int(status.get(count, 0)) for count in ("active", "failed", "succeeded"))
        if not begun:
            raise NotYet(f"Job {self.target} has no pod yet")
        return f"Job {self.target} runs again"

    def status(self) -> dict[str, Any]:
        """What the Job controller says of it."""
        found: dict[str, Any] = self.cluster.get(f"{self.path}/{self.job}").get("status", {})
        return found

    def said(self) -> str:
        """What its pods so far have said."""
        return self.cluster.kubectl(
            "logs", f"--selector=job-name={self.job}", f"--namespace={self.namespace}", "--tail=-1"
        )
