"""The monitoring of a rendered stack as plain Prometheus configuration, for clusters without the Prometheus operator.

`kubectl kustomize manifests/overlays/production | python -m shakedown.plain FOLDER` writes prometheus.yaml,
alertmanager.yaml and rules/. One source: what the operator would read is read here. A field that this doesn't know
raises, so that nothing is lost on the way without a word.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Tree = dict[str, Any]
SLICE = "__meta_kubernetes_endpointslice"
SERVICE = "__meta_kubernetes_service"
POD = "__meta_kubernetes_pod"
# what the operator calls a setting of one endpoint, and what Prometheus does
SETTINGS = {
    "path": "metrics_path",
    "scheme": "scheme",
    "interval": "scrape_interval",
    "scrapeTimeout": "scrape_timeout",
    "honorLabels": "honor_labels",
    "honorTimestamps": "honor_timestamps",
    "params": "params",
}
CONVERTED = {"port", "bearerTokenFile", "tlsConfig", "metricRelabelings", "relabelings"}
PROBE = {"jobName", "module", "prober", "targets", "metricRelabelings", "interval", "scrapeTimeout"}


class NotPlain(Exception):
    """The stack asks for what is not converted here; the message names object and field."""


def files(objects: Sequence[Tree]) -> dict[str, str]:
    """Each file's text by its path. Raises NotPlain, and for a stack without a Prometheus object."""
    found = [item for item in objects if item["kind"] == "Prometheus"]
    if len(found) != 1:
        raise NotPlain(f"{len(found)} Prometheus objects are rendered, and one is converted")
    spec = found[0]["spec"]
    rules = {
        f"rules/{item['metadata']['namespace']}-{item['metadata']['name']}.yaml": yaml.safe_dump(item["spec"])
        for item in objects
        if item["kind"] == "PrometheusRule"
    }
    secret = named(objects, "Secret", "alertmanager-main")
    configuration = {
        "global": {
            "scrape_interval": spec["scrapeInterval"],
            "scrape_timeout": spec["scrapeTimeout"],
            "evaluation_interval": spec["evaluationInterval"],
        },
        "rule_files": ["rules/*.yaml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [address(each)]}]} for each in alertmanagers(spec)]
        },
        "scrape_configs": [job for item in objects for job in jobs(item)],
    }
    return {
        "prometheus.yaml": yaml.safe_dump(configuration, sort_keys=False),
        "alertmanager.yaml": secret["stringData"]["alertmanager.yaml"],
        **rules,
    }


def named(objects: Sequence[Tree], kind: str, name: str) -> Tree:
    """One object of the stack. Raises NotPlain where there is none."""
    for item in objects:
        if item["kind"] == kind and item["metadata"]["name"] == name:
            return item
    raise NotPlain(f"no {kind} {name} is rendered")


def alertmanagers(spec: Tree) -> list[Tree]:
    """The Alertmanagers that a Prometheus object names."""
    return list(spec.get("alerting", {}).get("alertmanagers", []))


def address(alertmanager: Tree) -> str:
    """Where an Alertmanager is reached: its Service, and the port that the operator calls `web`."""
    port = 9093 if alertmanager["port"] == "web" else alertmanager["port"]
    return f"{alertmanager['name']}.{alertmanager['namespace']}.svc:{port}"


def jobs(item: Tree) -> Iterator[Tree]:
    """The scrape jobs that one object asks for. Raises NotPlain."""
    if item["kind"] == "ServiceMonitor":
        for number, endpoint in enumerate(item["spec"]["endpoints"]):
            yield scraped(item, number, endpoint)
    elif item["kind"] == "Probe":
        yield probed(item)
    elif item["kind"] in ("PodMonitor", "ScrapeConfig"):
        raise NotPlain(f"{item['kind']} {item['metadata']['name']} is not converted")


def refuse(item: Tree, given: Mapping[str, Any], known: set[str]) -> None:
    """Raise NotPlain for a field that isn't known."""
    if unknown := sorted(set(given) - known):
        raise NotPlain(f"{item['kind']} {item['metadata']['name']}: {', '.join(unknown)} is not converted")


def scraped(item: Tree, number: int, endpoint: Tree) -> Tree:
    """One endpoint of a ServiceMonitor as a job."""
    refuse(item, endpoint, SETTINGS.keys() | CONVERTED)
    refuse(item, item["spec"], {"endpoints", "selector", "namespaceSelector", "jobLabel"})
    meta, spec = item["metadata"], item["spec"]
    job: Tree = {"job_name": f"serviceMonitor/{meta['namespace']}/{meta['name']}/{number}"}
    job |= {plain: endpoint[given] for given, plain in SETTINGS.items() if given in endpoint}
    if "bearerTokenFile" in endpoint:
        job["authorization"] = {"credentials_file": endpoint["bearerTokenFile"]}
    if "tlsConfig" in endpoint:
        job["tls_config"] = {snake(key): value for key, value in endpoint["tlsConfig"].items()}
    labels = spec["selector"].get("matchLabels", {})
    if labels == {"k8s-app": "kubelet"}:  # the operator keeps that Service; Prometheus alone finds the nodes
        job |= {"kubernetes_sd_configs": [{"role": "node"}], "relabel_configs": node_labels(endpoint)}
    elif any(label.startswith("operated-") for label in labels):  # the operator keeps those Services, too
        job |= itself(item, next(iter(labels)).removeprefix("operated-"))
    else:
        places = spec.get("namespaceSelector", {}).get("matchNames", [meta["namespace"]])
        job["kubernetes_sd_configs"] = [{"role": "endpointslice", "namespaces": {"names": places}}]
        job["relabel_configs"] = service_labels(item, endpoint)
    job["relabel_configs"] += relabelings(endpoint.get("relabelings", []))
    job["metric_relabel_configs"] = relabelings(endpoint.get("metricRelabelings", []))
    return job


def service_labels(item: Tree, endpoint: Tree) -> list[Tree]:
    """Keep the Service's ready addresses of one port, and label them as the operator does."""
    refuse(item, item["spec"]["selector"], {"matchLabels"})
    wanted = item["spec"]["selector"]["matchLabels"]
    job = item["spec"].get("jobLabel")
    return [
        *(keep(f"{SERVICE}_label_{sanitised(label)}", re.escape(value)) for label, value in wanted.items()),
        keep(f"{SLICE}_port_name", re.escape(endpoint["port"])),
        {"source_labels": [f"{POD}_phase"], "regex": "(Failed|Succeeded)", "action": "drop"},
        copy(f"{SLICE}_address_target_name", "pod"),
        copy(f"{POD}_container_name", "container"),
        copy("__meta_kubernetes_namespace", "namespace"),
        copy(f"{SERVICE}_name", "service"),
        copy(f"{SERVICE}_label_{sanitised(job)}" if job else f"{SERVICE}_name", "job"),
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]


def node_labels(endpoint: Tree) -> list[Tree]:
    """Label a kubelet as the operator does."""
    return [
        copy("__meta_kubernetes_node_name", "node"),
        {"target_label": "job", "replacement": "kubelet"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]


def itself(item: Tree, program: str) -> Tree:
    """A job for Prometheus or Alertmanager itself."""
    place = (
        "localhost:9090" if program == "prometheus" else f"{program}-operated.{item['metadata']['namespace']}.svc:9093"
    )
    labels = {"job": f"{program}-operated", "namespace": item["metadata"]["namespace"]}
    return {"static_configs": [{"targets": [place], "labels": labels}], "relabel_configs": []}


def probed(item: Tree) -> Tree:
    """A Probe as a job: the prober is asked, the target is a parameter."""
    meta, spec = item["metadata"], item["spec"]
    refuse(item, spec, PROBE)
    refuse(item, spec["prober"], {"url"})
    refuse(item, spec["targets"], {"staticConfig"})
    static = spec["targets"]["staticConfig"]
    refuse(item, static, {"static", "labels"})
    return {
        "job_name": f"probe/{meta['namespace']}/{meta['name']}",
        **{SETTINGS[given]: spec[given] for given in ("interval", "scrapeTimeout") if given in spec},
        "metrics_path": "/probe",
        "params": {"module": [spec["module"]]},
        "static_configs": [{"targets": static["static"], "labels": static.get("labels", {})}],
        "relabel_configs": [
            copy("__address__", "__param_target"),
            copy("__param_target", "instance"),
            {"target_label": "__address__", "replacement": spec["prober"]["url"]},
            {"target_label": "job", "replacement": spec["jobName"]},
        ],
        "metric_relabel_configs": relabelings(spec.get("metricRelabelings", [])),
    }


def keep(label: str, regex: str) -> Tree:
    """Keep what has this value."""
    return {"source_labels": [label], "regex": regex, "action": "keep"}


def copy(source: str, target: str) -> Tree:
    """Copy one label."""
    return {"source_labels": [source], "target_label": target}


def relabelings(given: Sequence[Tree]) -> list[Tree]:
    """The operator's relabelings under Prometheus' names."""
    return [{snake(key): value for key, value in each.items()} for each in given]


def snake(name: str) -> str:
    """A name in camel case as snake case: source_labels for sourceLabels."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def sanitised(label: str) -> str:
    """A label's name as it stands in the name of a meta label."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def main(arguments: Sequence[str]) -> int:
    """Read rendered objects from standard input and write the configuration into the folder that is named."""
    (folder,) = arguments
    objects = [document for document in yaml.safe_load_all(sys.stdin) if document]
    for name, text in files(objects).items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
