"""The front door speaks TLS: to who asks for its host, trusts its authority, and shows a certificate where it must."""

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml

from airgap.bed import TestBed
from fixtures.canary import GATEWAY, GATEWAYS
from fixtures.certificates import Authority, Certificate
from fixtures.run import Run
from fixtures.stack import render
from fixtures.verdicts import Evidence
from shakedown.canary import await_taken_up, route_path
from shakedown.causes import Scene, changed
from shakedown.cluster import Cluster
from shakedown.grpc_client import Refused, floats_of, prediction_request, refused
from shakedown.manifests import Manifest, Stack, apply
from shakedown.oracle import Floats, Oracle
from shakedown.protos import prediction_service_pb2_grpc
from shakedown.rollout import await_rollout
from shakedown.serving import REQUEST_S, pods, tunnel
from shakedown.settings import Settings
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually

pytestmark = [pytest.mark.test_bed, pytest.mark.conformance]  # the gateway is rolled out twice
PORT = 8443
OPTIONS = "manifests/components/front-door-tls/dynamic.yaml"
SECRET = f"/api/v1/namespaces/{GATEWAY}/secrets/front-door"
CHANGED = ("Gateway", "Deployment", "ConfigMap", "NetworkPolicy", "Service")


@dataclass(frozen=True)
class Door:
    """The front door's TLS port, and who asks there."""

    cluster: Cluster
    pod: str
    host: str
    model: str
    trusted: Path
    shown: Certificate | None

    @contextmanager
    def way(self) -> Iterator[int]:
        """A local port that leads to it: a tunnel of its own, for one that was cut off once stays so."""
        with tunnel(self.cluster, GATEWAY, f"pod/{self.pod}", [PORT]) as ports:
            yield ports[PORT]

    def post(self, path: str, body: object) -> bytes:
        """The answer to a POST. Raises ssl.SSLError or OSError where the two don't come to terms."""
        context = ssl.create_default_context(cafile=str(self.trusted))
        # in TLS 1.3 a client has sent its request before it hears that its certificate is refused
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if self.shown:
            context.load_cert_chain(self.shown.crt, self.shown.key)
        with (
            self.way() as port,
            socket.create_connection(("127.0.0.1", port), timeout=REQUEST_S) as bare,
        ):
            asked = http.client.HTTPConnection(self.host, timeout=REQUEST_S)
            asked.sock = context.wrap_socket(bare, server_hostname=self.host)
            asked.request("POST", path, json.dumps(body), {"Host": self.host})
            answer = asked.getresponse()
            assert answer.status == 200, f"HTTP {answer.status}: {answer.read()[:200]!r}"
            return answer.read()

    def call(self, images: Floats) -> Floats:
        """Probabilities over gRPC. Raises Refused where the two don't come to terms, or by the server's word."""
        shown = (self.shown.key.read_bytes(), self.shown.crt.read_bytes()) if self.shown else (None, None)
        trusted = grpc.ssl_channel_credentials(self.trusted.read_bytes(), *shown)
        named = [("grpc.ssl_target_name_override", self.host), ("grpc.default_authority", self.host)]
        with self.way() as port, grpc.secure_channel(f"127.0.0.1:{port}", trusted, named) as channel:
            try:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                answer = stub.Predict(prediction_request(self.model, images), timeout=REQUEST_S)
            except grpc.RpcError as error:
                raise refused(error) from error
        return floats_of(answer, "probabilities")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The test bed's own certificate authority."""
    return Authority.made(tmp_path_factory.mktemp("tls") / "ca", "shakedown test bed")


def secret_of(door: Certificate) -> Manifest:
    """The Secret that holds the front door's certificate and key."""
    data = {f"tls.{kind}": base64.b64encode(file.read_bytes()).decode() for kind, file in vars(door).items()}
    meta = {"name": "front-door", "namespace": GATEWAY}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls", "data": data}


@pytest.fixture
def scene(cluster: Cluster, run: Run, settings_of_run: Settings) -> Scene:
    """The gateway's namespace, where the door's certificate is changed."""
    return Scene(cluster, run.ledger, GATEWAY, settings_of_run.deadlines.pods)


@pytest.fixture(scope="module")
def door(
    cluster: Cluster,
    stack: Stack,
    bed: TestBed,
    settings_of_run: Settings,
    authority: Authority,
    run: Run,
    pytestconfig: pytest.Config,
) -> Iterator[Door]:
    """The front door with TLS, and a client whom it lets in; as it was at the end, and rolled out."""
    names, within = settings_of_run.deployment, settings_of_run.deadlines.stack
    shipped = render("tls", bed, settings_of_run, pytestconfig)
    altered = [item for item in shipped if item["kind"] in CHANGED and item not in stack.objects]
    parents = next(item for item in shipped if item["kind"] == "HTTPRoute")["spec"]["parentRefs"]
    for item in altered:
        if "clients.crt" in item.get("data", {}):
            item["data"]["clients.crt"] = authority.crt.read_text()
    added = [item for item in altered if item["kind"] == "ConfigMap"] + [
        secret_of(authority.issue("door", names.hostname))
    ]
    known = {(item["kind"], item["metadata"]["name"]) for item in altered}
    usual = [item for item in stack.objects if (item["kind"], item["metadata"]["name"]) in known]
    scene = Scene(cluster, run.ledger, names.namespace, within)
    apply(cluster, [*added, *altered], within)
    try:
        await_rollout(cluster, GATEWAY, "traefik", within)
        with ExitStack() as life:
            route = route_path(names.namespace, names.workload)
            life.enter_context(changed(scene, route, "/spec/parentRefs", parents))
            await_taken_up(cluster, names.namespace, names.workload, within)
            gateway = pods(cluster, GATEWAY, GATEWAYS)[0].name
            yield Door(cluster, gateway, names.hostname, names.model, authority.crt, authority.issue("client"))
    finally:
        apply(cluster, usual, within)
        await_rollout(cluster, GATEWAY, "traefik", within)
        text = yaml.safe_dump_all(added)
        cluster.kubectl("delete", "--ignore-not-found", "--filename=-", stdin=text, timeout=within)


def predicted(door: Door, oracle: Oracle) -> int:
    """The version that answers a prediction through the door."""
    answer = json.loads(door.post(f"/v1/models/{door.model}:predict", {"instances": oracle.images[:1].tolist()}))
    return oracle.version_of(0, np.asarray(answer["predictions"][0], dtype=np.float32))


def test_front_door_answers_over_tls(door: Door, oracle: Oracle, served: int, evidence: Evidence) -> None:
    """A client that trusts the authority, and shows its own certificate, gets the right answer."""
    assert predicted(door, oracle) == served
    evidence(f"version {served} answered over TLS for {door.host}")


def turned_away(ask: Callable[[], int]) -> str:
    """The words with which the two don't come to terms. Raises Failed where somebody answers."""
    try:
        version = ask()
    except (ssl.SSLError, Refused) as refusal:
        return str(refusal)
    raise Failed(f"version {version} answered a client whom the door must not let in; see clientAuth in {OPTIONS}")


@pytest.mark.parametrize("who", ["without-certificate", "expired-certificate", "certificate-of-another-authority"])
def test_client_without_a_valid_certificate_is_refused(
    door: Door, oracle: Oracle, authority: Authority, who: str, tmp_path: Path, evidence: Evidence
) -> None:
    """Where the manifest asks for a client's certificate, nobody comes in without one that is valid and known."""
    makers: dict[str, Callable[[], Certificate | None]] = {
        "without-certificate": lambda: None,
        "expired-certificate": lambda: authority.issue("late", expired=True),
        "certificate-of-another-authority": lambda: Authority.made(tmp_path / "ca", "another").issue("stranger"),
    }
    shown = makers[who]()
    said = turned_away(lambda: predicted(replace(door, shown=shown), oracle))
    assert "alert" in said.lower(), f"the client ended it, not the door: {said}"
    evidence(f"{who}: {said}")


def called(door: Door, oracle: Oracle) -> int:
    """The version that answers a gRPC call through the door."""
    return oracle.version_of(0, door.call(oracle.images[:1])[0])


def test_front_door_answers_grpc_over_tls_and_asks_for_a_certificate_there_too(
    door: Door, oracle: Oracle, served: int, evidence: Evidence
) -> None:
    """With the client's certificate the right answer comes over gRPC too, and without one nobody comes in."""
    assert called(door, oracle) == served
    said = turned_away(lambda: called(replace(door, shown=None), oracle))
    assert said.startswith("UNAVAILABLE"), f"a client without a certificate was let in, and told {said}"
    assert called(door, oracle) == served, "the door was shut to everybody, not to the stranger"
    evidence(f"version {served} answered over gRPC and TLS for {door.host}; without a certificate {said}")


def test_client_refuses_a_door_whose_certificate_has_expired(
    door: Door, oracle: Oracle, served: int, authority: Authority, scene: Scene, evidence: Evidence
) -> None:
    """A door with an expired certificate gets no request from whoever looks at it, and its renewed one lets them in."""
    late = secret_of(authority.issue("late-door", door.host, expired=True))

    def looked_through() -> str:
        try:
            version = predicted(door, oracle)
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        raise NotYet(f"version {version} answered through it")

    with changed(scene, SECRET, "/data", late["data"]):
        said = eventually(looked_through, within=scene.within, awaited="a client refuses the expired certificate")
        assert "expired" in said, f"it refused the certificate, but for another reason: {said}"
        with pytest.raises(Refused, match="certificate has expired") as over_grpc:
            called(door, oracle)

    def renewed() -> int:
        try:
            return predicted(door, oracle)
        except ssl.SSLCertVerificationError as error:
            raise NotYet(error.verify_message) from error

    assert eventually(renewed, within=scene.within, awaited="the door shows its own certificate again") == served
    evidence(f"REST: {said}; gRPC: {over_grpc.value}; version {served} answered with the certificate of before")


def test_client_that_asks_for_another_host_is_refused(door: Door, oracle: Oracle, evidence: Evidence) -> None:
    """The door has no certificate for another host, and ends the handshake instead of showing a wrong one."""
    with pytest.raises(ssl.SSLError, match=r"unrecognized.name") as refused:
        predicted(replace(door, host="other.test"), oracle)
    evidence(f"other.test: {refused.value}")


def test_client_that_does_not_trust_the_authority_does_not_speak(
    door: Door, oracle: Oracle, tmp_path: Path, evidence: Evidence
) -> None:
    """Who trusts another authority than the door's ends the handshake: the door's certificate is what it checks."""
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        predicted(replace(door, trusted=Authority.made(tmp_path / "ca", "another").crt), oracle)
    evidence(f"another authority: {refused.value}")
