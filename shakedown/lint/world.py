from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shakedown.lint import protos
from shakedown.lint.objects import Inventory, Json, Obj, dig, matches
from shakedown.lint.schemas import Schemas
from shakedown.lint.server import METRICS_PATH, Server, is_server
from shakedown.lint.workload import WORKLOADS, Container, Workload

CANARY = "canary"


@dataclass(frozen=True)
class Tools:
    """What rules need besides the objects: schemas, the promtool binary and unit tests of Prometheus rules."""

    schemas: Schemas
    promtool: Path
    unit_tests: tuple[Path, ...] = ()


class World(Inventory):
    """The inventory as rules see it: workloads, model servers, who scales and selects whom.

    `objects` leaves out what has no known schema or the wrong shape, so that rules can rely on types; `rendered`
    holds everything.
    """

    def __init__(self, objects: Iterable[Obj], tools: Tools) -> None:
        self.rendered = tuple(objects)
        self.tools = tools
        super().__init__(o for o in self.rendered if not tools.schemas.misshapen(o))

    @cached_property
    def workloads(self) -> dict[Obj, Workload]:
        """Every object that makes pods."""
        return {obj: Workload(obj) for obj in self.of(*WORKLOADS)}

    @cached_property
    def servers(self) -> dict[Obj, Server]:
        """The model server of each workload that runs one."""
        found: dict[Obj, Server] = {}
        for obj, workload in self.workloads.items():
            for container in workload.containers:
                if is_server(container):
                    found.setdefault(obj, Server(workload, container))
        return found

    @cached_property
    def stable_servers(self) -> list[Obj]:
        """The model servers that are no canary."""
        return [obj for obj in self.servers if not is_canary(self.workloads[obj])]

    @cached_property
    def canaries(self) -> list[Obj]:
        """The model servers that are a canary."""
        return [obj for obj in self.servers if is_canary(self.workloads[obj])]

    def selected_workloads(self, namespace: str, selector: Json) -> list[Workload]:
        """The workloads of a namespace whose pods match; a Service's plain map counts as matchLabels."""
        return [w for w in self.workloads_in.get(namespace, []) if matches(selector, w.labels)]

    @cached_property
    def workloads_in(self) -> dict[str, list[Workload]]:
        """The workloads of each namespace."""
        found: dict[str, list[Workload]] = {}
        for workload in self.workloads.values():
            found.setdefault(workload.namespace, []).append(workload)
        return found

    def backends(self, service: Obj) -> list[Workload]:
        """The workloads behind a Service; none where it has no selector."""
        selector = service.spec.get("selector")
        return self.selected_workloads(service.namespace, {"matchLabels": selector}) if selector else []

    def services_of(self, obj: Obj) -> list[Obj]:
        """The Services that select a workload's pods."""
        return self._services_by_workload.get(obj, [])

    @cached_property
    def _services_by_workload(self) -> dict[Obj, list[Obj]]:
        found: dict[Obj, list[Obj]] = {}
        for service in self.of("Service"):
            for workload in self.backends(service):
                found.setdefault(workload.obj, []).append(service)
        return found

    def scalers(self, obj: Obj) -> list[Obj]:
        """The HPAs that target an object."""
        return self._scalers_by_target.get(obj, [])

    @cached_property
    def _scalers_by_target(self) -> dict[Obj, list[Obj]]:
        found: dict[Obj, list[Obj]] = {}
        for hpa in self.of("HorizontalPodAutoscaler"):
            target = self.target(hpa)
            if target is not None:
                found.setdefault(target, []).append(hpa)
        return found

    @cached_property
    def namesakes(self) -> dict[tuple[str, str, str, str], list[Obj]]:
        """Everything that was rendered, by kind, group, namespace and name."""
        found: dict[tuple[str, str, str, str], list[Obj]] = {}
        for obj in self.rendered:
            found.setdefault((obj.kind, obj.group, obj.namespace, obj.name), []).append(obj)
        return found

    def target(self, hpa: Obj) -> Obj | None:
        """The object that an HPA scales, None where it is not there."""
        ref = dig(hpa.spec, "scaleTargetRef")
        return self.find(str(dig(ref, "kind")), hpa.namespace, dig(ref, "name"))

    def fewest(self, obj: Obj) -> int:
        """The fewest replicas that may run: the HPA's minimum, else what is written."""
        scalers = self.scalers(obj)
        bounds = [hpa.spec.get("minReplicas", 1) for hpa in scalers]
        return min(bounds) if bounds else self.workloads[obj].replicas

    def most(self, obj: Obj) -> int:
        """The most replicas that may run."""
        bounds = [hpa.spec.get("maxReplicas", 1) for hpa in self.scalers(obj)]
        return max([*bounds, 0]) or self.workloads[obj].replicas

    def flag_file(self, server: Server, flag: str) -> str | None:
        """The text of the file that a flag names, None where a ConfigMap holds none."""
        path = server.flags.get(flag)
        return self.file_in(server.workload, server.container, path) if path else None

    def models(self, server: Server) -> dict[str, str]:
        """Base path by name of the models that a server is configured to serve; empty where that can't be read."""
        if server.model is not None:
            return dict([server.model])
        text = self.flag_file(server, "model_config_file")
        try:
            config = protos.parse("ModelServerConfig", text or "")
        except protos.TextProtoError:
            return {}
        return {each.name: each.base_path for each in config.model_config_list.config}  # type: ignore[attr-defined]

    def model_names(self, server: Server) -> set[str]:
        """The names of the models that a server is configured to serve."""
        return set(self.models(server))

    def metrics_path(self, server: Server) -> str | None:
        """Where the server answers with metrics; None without a monitoring config that switches them on."""
        text = self.flag_file(server, "monitoring_config_file")
        try:
            config = protos.parse("MonitoringConfig", text or "").prometheus_config  # type: ignore[attr-defined]
        except protos.TextProtoError:
            return None
        return str(config.path or METRICS_PATH) if config.enable and server.rest_port else None

    def script(self, workload: Workload, container: Container) -> str:
        """All that a container is told to run: its command line, and the ConfigMap's files that it names."""
        words = [word for arg in container.command_line for word in arg.split()]
        files = (self.file_in(workload, container, word) for word in words if word.startswith("/"))
        return "\n".join([*container.command_line, *(text for text in files if text)])

    def file_in(self, workload: Workload, container: Container, path: str) -> str | None:
        """The text that a ConfigMap puts at a path in a container; None where none does."""
        found = workload.volume_at(container, path)
        if found is None or "configMap" not in found[1]:
            return None
        mount, volume = found
        config = self.find("ConfigMap", workload.namespace, dig(volume, "configMap", "name"))
        if config is None:
            return None
        inner = path.removeprefix(str(mount["mountPath"]).rstrip("/")).lstrip("/") or str(mount.get("subPath", ""))
        for item in dig(volume, "configMap", "items") or []:
            if item.get("path") == inner:
                inner = str(item.get("key"))
        text = dig(config.data, "data", inner)
        return text if isinstance(text, str) else None


def is_canary(workload: Workload) -> bool:
    """Whether the workload is a canary, by its name or a label of its pods."""
    return CANARY in workload.obj.name or CANARY in workload.labels.values()
