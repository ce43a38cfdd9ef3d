"""The plain Prometheus configuration says what the operator's objects say, and Prometheus takes it."""

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from airgap import golang, programs
from fixtures.static import OWN
from shakedown.lint.load import parse, render
from shakedown.plain import NotPlain, files, snake

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    return [data for data, _ in parse(render(OWN["production"]), "production")]


@pytest.fixture
def configuration(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(yaml.safe_load(files(objects)["prometheus.yaml"]))


def test_prometheus_takes_the_configuration_and_every_rule(objects: list[dict[str, Any]], tmp_path: Path) -> None:
    for name, text in files(objects).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text.replace(MOUNTED, "token"))
    (tmp_path / "token").touch()  # promtool wants to see the file, which only a pod has
    promtool = golang.build_program(programs.PROMETHEUS) / "promtool"  # Debian's knows no kubernetes_sd_configs
    command = [str(promtool), "check", "config", "--lint=all", "--lint-fatal", "prometheus.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rules = sum(item["kind"] == "PrometheusRule" for item in objects)
    assert done.stdout.count("rules found") == rules


def test_every_endpoint_and_probe_is_a_job(objects: list[dict[str, Any]], configuration: dict[str, Any]) -> None:
    endpoints = [e for item in objects if item["kind"] == "ServiceMonitor" for e in item["spec"]["endpoints"]]
    probes = [item for item in objects if item["kind"] == "Probe"]
    assert len(configuration["scrape_configs"]) == len(endpoints) + len(probes) > 5


def test_a_service_is_found_by_the_labels_and_the_port_of_its_monitor(configuration: dict[str, Any]) -> None:
    (job,) = [j for j in configuration["scrape_configs"] if "tensorflow-serving" in j["job_name"]]
    kept = {r["source_labels"][0]: r["regex"] for r in job["relabel_configs"] if r.get("action") == "keep"}
    assert kept == {
        "__meta_kubernetes_service_label_app_kubernetes_io_name": "tensorflow\\-serving",
        "__meta_kubernetes_endpointslice_port_name": "http",
    }
    assert job["metrics_path"] == "/monitoring/prometheus/metrics"
    assert job["kubernetes_sd_configs"] == [{"role": "endpointslice", "namespaces": {"names": ["model-serving"]}}]


def test_kubelets_are_found_as_nodes_and_asked_with_a_token(configuration: dict[str, Any]) -> None:
    (job,) = [j for j in configuration["scrape_configs"] if "kubelet" in j["job_name"]]
    assert job["kubernetes_sd_configs"] == [{"role": "node"}]
    assert "credentials_file" in job["authorization"]
    assert job["tls_config"] == {"insecure_skip_verify": True}


def test_the_intervals_are_those_of_the_prometheus_object(
    objects: list[dict[str, Any]], configuration: dict[str, Any]
) -> None:
    (spec,) = [item["spec"] for item in objects if item["kind"] == "Prometheus"]
    assert configuration["global"] == {
        snake(name): spec[name] for name in ("scrapeInterval", "scrapeTimeout", "evaluationInterval")
    }


@pytest.mark.parametrize(
    ("kind", "path", "value", "words"),
    [
        ("ServiceMonitor", ("spec", "sampleLimit"), 5, "ServiceMonitor .*: sampleLimit is not converted"),
        ("ServiceMonitor", ("spec", "selector", "matchExpressions"), [], "matchExpressions is not converted"),
        ("Probe", ("spec", "prober", "scheme"), "https", "Probe .*: scheme is not converted"),
    ],
)
def test_a_field_that_is_not_converted_is_named(
    objects: list[dict[str, Any]], kind: str, path: tuple[str, ...], value: object, words: str
) -> None:
    changed = copy.deepcopy(objects)
    place = next(item for item in changed if item["kind"] == kind)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(NotPlain, match=words):
        files(changed)
