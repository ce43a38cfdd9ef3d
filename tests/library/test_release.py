"""A release's decisions, before a cluster that isn't there: what is refused, what is undone, and what can't be."""

import json
import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from shakedown import release as pipeline
from shakedown.cluster.access import CommandFailed
from shakedown.release import Order, Outcome, release
from shakedown.verdict import Failed

OLD, NEW = "models.example/server:1", "models.example/server:2"
GOOD, BAD = f'{sys.executable} -c ""', f"{sys.executable} -c 'raise SystemExit(3)'"

STEPS = {"container": "server", "build": "", "deliver": ""}


class Deployed:
    """A Deployment that takes an image at once; `deaf` counts the requests that will get no answer."""

    def __init__(self) -> None:
        self.context, self.deaf, self.refuses = "test", 0, False
        self.template: dict[str, Any] = {"spec": {"containers": [{"name": "proxy"}, {"name": "server", "image": OLD}]}}

    @property
    def image(self) -> str:
        return str(self.template["spec"]["containers"][1]["image"])

    def put(self, image: str) -> None:
        self.template = json.loads(json.dumps(self.template))
        self.template["spec"]["containers"][1]["image"] = image

    def get(self, _path: str) -> dict[str, Any]:
        if self.deaf:
            self.deaf -= 1
            raise HTTPError("connection refused")
        return self.found

    @property
    def found(self) -> dict[str, Any]:
        return {"spec": {"template": self.template}}

    def kubectl(self, *arguments: str) -> str:
        test, replace = json.loads(arguments[-2].partition("=")[2])
        if (self.refuses and replace["path"] == "/spec/template") or self.template != test["value"]:
            raise CommandFailed("kubectl patch: no", 1, "no")
        if replace["path"] == "/spec/template":
            self.template = replace["value"]
        else:
            assert replace["path"] == "/spec/template/spec/containers/1/image"
            self.put(self.admitted(replace["value"]))
        return json.dumps(self.found)

    def admitted(self, image: str) -> str:
        """What the API server makes of an image's name."""
        return image


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """A Deployment whose roll-outs are out at once."""
    monkeypatch.setattr(pipeline, "lateness", lambda *_: "")
    return Deployed()


def ordered(image: str = NEW, verify: str = GOOD, *, within: float = 0.5, patience: float = 5, **more: str) -> Order:
    container, build, deliver = (more.get(name, other) for name, other in STEPS.items())
    return Order(image, "models", "server", container, build, deliver, verify, within, patience)


def attempt(there: Any, order: Order) -> tuple[Outcome, str]:
    said: list[str] = []
    outcome = release(there, order, lambda step, words: said.append(f"{step}: {words}"))
    return outcome, "\n".join(said)


def test_a_good_release_runs_its_steps_in_their_order(there: Deployed) -> None:
    outcome, said = attempt(there, ordered(build=GOOD, deliver=GOOD))
    assert outcome is Outcome.RELEASED
    assert there.image == NEW
    steps = [line.partition(":")[0] for line in said.splitlines()]
    assert steps == ["built", "delivered", "set", "rolled out", "verified", "released"]


def test_what_is_gone_back_to_is_what_was_there_after_the_build(there: Any) -> None:
    def tell(step: str, _: str) -> None:
        if step == "built":
            there.put("models.example/server:another")

    assert release(there, ordered(build=GOOD, verify=BAD), tell) is Outcome.UNDONE
    assert there.image == "models.example/server:another"


@pytest.mark.parametrize("image", ["server", "server:latest", "models.example:5000/server", "models.example/a:latest"])
def test_an_image_that_names_no_version_is_refused(there: Deployed, image: str) -> None:
    outcome, said = attempt(there, ordered(image))
    assert outcome is Outcome.UNCHANGED
    assert "names no version" in said


def test_an_image_by_its_digest_names_its_version(there: Deployed) -> None:
    assert attempt(there, ordered(f"models.example/server@sha256:{'a' * 64}"))[0] is Outcome.RELEASED


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (ordered(OLD), "has image models.example/server:1 already"),
        (ordered(container="sever"), "has no container sever; it has proxy, server"),
        (ordered(build=BAD), "exit code 3"),
        (ordered(build=GOOD, deliver=BAD), "exit code 3"),
        (ordered(build="no-such-program --at all"), "no-such-program --at all: can't be run"),
    ],
)
def test_what_fails_before_the_image_is_set_changes_nothing(there: Deployed, order: Order, words: str) -> None:
    outcome, said = attempt(there, order)
    assert outcome is Outcome.UNCHANGED
    assert words in said
    assert "nothing was changed in models/server" in said
    assert there.image == OLD


def test_a_deployment_in_the_middle_of_a_roll_out_is_no_ground_to_release_on(
    there: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "lateness", lambda *_: "1 of 3 available")
    outcome, said = attempt(there, ordered())
    assert outcome is Outcome.UNCHANGED
    assert "1 of 3 available; there is nothing whole to go back to" in said


@pytest.mark.parametrize("verify", [BAD, "no-such-program", f"{sys.executable} -c 'import time; time.sleep(60)'"])
def test_a_release_whose_verification_fails_hangs_or_is_not_there_is_undone(there: Deployed, verify: str) -> None:
    before = there.template
    outcome, said = attempt(there, ordered(verify=verify, patience=1))
    assert outcome is Outcome.UNDONE
    assert there.template == before
    assert f"undone: {OLD} serves again" in said


def test_a_pod_that_no_waiting_cures_ends_the_roll_out_at_once(
    there: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hindrance(*_: Any) -> str:
        raise Failed("0 of 3: ErrImagePull")

    monkeypatch.setattr(pipeline, "hindrance", hindrance)
    outcome, said = attempt(there, ordered(within=60))
    assert outcome is Outcome.UNDONE
    assert "ErrImagePull" in said


def test_a_roll_out_that_hangs_is_undone_at_its_deadline(there: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "hindrance", lambda *_: "2 of 3 available")
    outcome, said = attempt(there, ordered())
    assert outcome is Outcome.UNDONE
    assert "Deployment models/server is rolled out: not within 0.5 s" in said


def test_a_signal_in_the_middle_undoes_the_release(there: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> str:
        raise KeyboardInterrupt("cancelled by signal 15")

    monkeypatch.setattr(pipeline, "hindrance", interrupted)
    outcome, said = attempt(there, ordered())
    assert outcome is Outcome.UNDONE
    assert "KeyboardInterrupt: cancelled by signal 15" in said


PASSING = [HTTPError("refused"), *(ApiException(status=code, reason="later") for code in (0, 408, 409, 429, 500, 503))]


@pytest.mark.parametrize("passing", PASSING, ids=lambda each: type(each).__name__)
def test_an_api_server_that_refuses_or_says_nothing_for_a_moment_undoes_nothing(
    there: Deployed, monkeypatch: pytest.MonkeyPatch, passing: Exception
) -> None:
    silences = iter([passing])

    def hindrance(*_: Any) -> str:
        if silence := next(silences, None):
            raise silence
        return ""

    monkeypatch.setattr(pipeline, "hindrance", hindrance)
    assert attempt(there, ordered(within=5))[0] is Outcome.RELEASED


def test_an_undoing_outlasts_an_api_server_that_is_away(there: Any) -> None:
    order = ordered(verify=BAD, within=5)
    found = pipeline.before_of(there, order)
    there.put(NEW)
    there.deaf = 2
    assert pipeline.undo(there, order, found, pipeline.Ours(there.template), lambda *_: None) is Outcome.UNDONE
    assert there.image == OLD


def test_what_cannot_be_undone_is_said_with_the_command_for_it(there: Deployed) -> None:
    there.refuses = True
    outcome, said = attempt(there, ordered(verify=BAD, patience=1))
    assert outcome is Outcome.NOT_UNDONE
    assert "NOT UNDONE: " in said
    assert f"kubectl set image --context=test --namespace=models deployment/server server={OLD}" in said


def test_anothers_release_is_not_thrown_away(there: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*_: Any) -> str:
        there.put("models.example/server:3")
        raise Failed("stuck")

    monkeypatch.setattr(pipeline, "hindrance", overtaken)
    outcome, said = attempt(there, ordered())
    assert outcome is Outcome.NOT_UNDONE
    assert "changed by somebody else meanwhile, and has image models.example/server:3: that is left alone" in said
    assert there.image == "models.example/server:3"


def test_a_release_that_somebody_took_away_is_not_told_as_one(there: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Deployment is whole again, with what was there before: that is no release."""

    def taken_away(*_: Any) -> str:
        there.put(OLD)
        return ""

    monkeypatch.setattr(pipeline, "hindrance", taken_away)
    outcome, said = attempt(there, ordered())
    assert outcome is Outcome.UNDONE
    assert f"models/server was changed by somebody else meanwhile, and has now: proxy , server {OLD}" in said


def test_another_container_that_was_changed_meanwhile_is_left_alone(
    there: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: Any) -> str:
        there.template = json.loads(json.dumps(there.template))
        there.template["spec"]["containers"][0]["image"] = "proxy:2"
        raise Failed("stuck")

    monkeypatch.setattr(pipeline, "hindrance", overtaken)
    outcome, _ = attempt(there, ordered())
    assert outcome is Outcome.NOT_UNDONE
    assert there.template["spec"]["containers"][0]["image"] == "proxy:2"


def test_an_image_that_the_api_server_rewrites_is_undone_too(there: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(there, "admitted", lambda image: f"{image}@sha256:1")
    assert attempt(there, ordered(verify=BAD))[0] is Outcome.UNDONE
    assert there.image == OLD


def test_an_undoing_is_not_ended_by_a_signal(there: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees FAILED and cancels the job gets back what was there all the same."""
    really = pipeline.put_back

    def put_back(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        really(*given)

    monkeypatch.setattr(pipeline, "put_back", put_back)
    assert attempt(there, ordered(verify=BAD))[0] is Outcome.UNDONE
    assert there.image == OLD
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Pods:
    """Stands in for the API server: a Deployment that is late, with these pods."""

    def __init__(self, *pods: Any) -> None:
        self.core, self.pods = self, pods

    def get(self, _path: str) -> dict[str, Any]:
        return {"spec": {"selector": {"matchLabels": {"app": "server"}}}}

    def list_namespaced_pod(self, _namespace: str, **_: str) -> Any:
        return SimpleNamespace(items=list(self.pods))


def failed_pod(name: str, image: str, owner: str = "") -> Any:
    owners = [SimpleNamespace(kind=owner, name="x")] if owner else None
    status = {"conditions": None, "init_container_statuses": None, "container_statuses": None}
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name, deletion_timestamp=None, owner_references=owners),
        spec=SimpleNamespace(containers=[SimpleNamespace(image=image)], node_name="n1"),
        status=SimpleNamespace(phase="Failed", reason="Evicted", message="", **status),
    )


def test_a_pod_that_was_evicted_before_the_release_is_no_reason_to_undo_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "lateness", lambda *_: "1 of 3 available")
    cluster: Any = Pods(failed_pod("old", OLD), failed_pod("new", NEW, "ReplicaSet"))
    assert pipeline.hindrance(cluster, ordered()) == "1 of 3 available; pod new failed: Evicted"
    with pytest.raises(Failed, match=r"1 of 3 available: pod new failed: Evicted"):
        pipeline.hindrance(Pods(failed_pod("new", NEW)), ordered())  # type: ignore[arg-type]
