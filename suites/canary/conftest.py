"""Fixtures of the canary suite: a canary that carries the good release, beside the stable servers, as it ships."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airgap.bed import TestBed
from fixtures.canary import (
    TESTERS,
    TESTS,
    Canary,
    applied,
    model_config_of,
    parts_of,
    server_of,
    stored,
    users_load,
)
from fixtures.faults import HELD_S
from fixtures.run import Run
from fixtures.stack import render
from models.canary import GOOD, releases
from models.golden import TOLERANCE, Golden
from shakedown.causes import Scene
from shakedown.cluster import Cluster
from shakedown.faults.inject import Faults
from shakedown.faults.workloads import size_held
from shakedown.load import Load
from shakedown.manifests import Stack
from shakedown.replay import Recording, Replay, record_stable
from shakedown.rollout import await_rollout
from shakedown.serving import Endpoint
from shakedown.settings import Settings
from shakedown.verdict import Inconclusive


@pytest.fixture(scope="package")
def recording(gateway: Endpoint, golden: Golden, settings_of_run: Settings) -> Recording:
    """The held-out images with what the stable version answers, asked before a canary is there."""
    return record_stable(gateway, settings_of_run.deployment.model, golden.held_out_images, golden.held_out_labels)


@pytest.fixture(scope="package")
def canary_up(
    cluster: Cluster,
    stack: Stack,
    faults: Faults,
    bed: TestBed,
    gateway: Endpoint,
    load: Load,
    recording: Recording,
    settings_of_run: Settings,
    run: Run,
    pytestconfig: pytest.Config,
) -> Iterator[Canary]:
    """A canary with the good release; the autoscaler keeps out of it, for the load is not what is judged here."""
    if cluster.store is None:
        raise Inconclusive("releases can only be put into the model store of a cluster that this run made")
    names, within = settings_of_run.deployment, settings_of_run.deadlines.stack
    own, route = parts_of(render("canary", bed, settings_of_run, pytestconfig), names.workload)
    with ExitStack() as life:
        life.enter_context(faults.inject(size_held(cluster, names.namespace, names.workload), seconds=HELD_S))
        await_rollout(cluster, names.namespace, names.workload, settings_of_run.deadlines.rollout)
        life.enter_context(stored(cluster.store, releases()))
        life.enter_context(applied(cluster, stack, own, route, within))
        pod, server = life.enter_context(server_of(cluster, own))
        canary = Canary(
            scene=Scene(cluster, run.ledger, names.namespace, within),
            names=names,
            door=gateway,
            pod=pod,
            server=server,
            config=model_config_of(own),
            shipped=route,
            replay=Replay(
                Endpoint("testers", gateway.rest, gateway.grpc, gateway.host, TESTERS),
                names.model,
                recording,
                run.ledger,
                TESTS,
            ),
            load=users_load(load, releases(), recording, TOLERANCE),
            slow_s=settings_of_run.objectives.latency_p99,
        )
        canary.release(GOOD)
        canary.taken_up()
        yield canary


@pytest.fixture
def canary(canary_up: Canary) -> Iterator[Canary]:
    """The canary as it ships: it has the good release, and no user yet; the route is put back after each test."""
    yield canary_up
    canary_up.as_shipped()
