"""Fixtures of the prediction suite: the servers' own configuration, and their model store."""

from pathlib import Path

import pytest

from shakedown.cluster import Cluster
from shakedown.manifests import Stack
from shakedown.settings import Deployment
from shakedown.verdict import Inconclusive


@pytest.fixture
def model_config(stack: Stack, deployment: Deployment) -> str:
    """The model configuration that the servers were started with, a text proto."""
    volumes = stack.find("Deployment", deployment.workload)["spec"]["template"]["spec"]["volumes"]
    name = next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
    return str(stack.find("ConfigMap", name)["data"]["models.config"])


@pytest.fixture
def store(cluster: Cluster) -> Path:
    """The model store on the host; what lies in a folder of its own there, servers see below /models."""
    if cluster.store is None:
        raise Inconclusive("models can only be put into the store of a cluster that this run made")
    return cluster.store
