from collections.abc import Iterator
from dataclasses import dataclass

from shakedown.lint.objects import Json, Obj, Tree, dig, tree, trees

REPLICATED = ("Deployment", "StatefulSet", "ReplicaSet")
WORKLOADS = (*REPLICATED, "DaemonSet", "Job", "CronJob", "Pod")


@dataclass(frozen=True, eq=False)
class Container:
    """One container of a pod template, and where it stands in its object."""

    data: Tree
    field: str

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.data.get("name", ""))

    @property
    def image(self) -> str:
        """The image as written."""
        return str(self.data.get("image", ""))

    @property
    def command_line(self) -> list[str]:
        """Command and arguments, word by word."""
        return [str(a) for key in ("command", "args") for a in self.data.get(key) or []]

    @property
    def env(self) -> dict[str, str]:
        """Variables with a literal value."""
        return {str(e.get("name")): str(e["value"]) for e in trees(self.data.get("env")) if "value" in e}

    @property
    def ports(self) -> list[Tree]:
        """The declared ports."""
        return trees(self.data.get("ports"))

    def port_number(self, port: Json) -> int | None:
        """The number of a port given by name or number; None for a name that the container lacks."""
        if isinstance(port, int):
            return port
        return next((p.get("containerPort") for p in self.ports if p.get("name") == port), None)

    def request(self, resource: str) -> Json:
        """The request, which defaults to the limit."""
        limit = dig(self.data, "resources", "limits", resource)
        wanted = dig(self.data, "resources", "requests", resource)
        return limit if wanted is None else wanted

    def limit(self, resource: str) -> Json:
        """The limit, None where there is none."""
        return dig(self.data, "resources", "limits", resource)


@dataclass(frozen=True, eq=False)
class Workload:
    """An object that makes pods: its template, and how many."""

    obj: Obj

    @property
    def prefix(self) -> str:
        """The field that holds the pod's spec."""
        return {"Pod": "spec", "CronJob": "spec.jobTemplate.spec.template.spec"}.get(
            self.obj.kind, "spec.template.spec"
        )

    @property
    def template(self) -> Tree:
        """The pod template: metadata and spec."""
        if self.obj.kind == "Pod":
            return self.obj.data
        spec = dig(self.obj.spec, "jobTemplate", "spec") if self.obj.kind == "CronJob" else self.obj.spec
        return tree(dig(spec, "template"))

    @property
    def pod(self) -> Tree:
        """The pod's spec."""
        return tree(self.template.get("spec"))

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the pods."""
        return {str(k): str(v) for k, v in tree(dig(self.template, "metadata", "labels")).items()}

    @property
    def namespace(self) -> str:
        """The namespace of the pods."""
        return self.obj.namespace

    @property
    def replicas(self) -> int:
        """Replicas as written; 1, the default, where they are left out."""
        count = self.obj.spec.get("replicas", 1) if self.obj.kind in REPLICATED else 1
        return count if isinstance(count, int) else 1

    @property
    def containers(self) -> list[Container]:
        """The containers that stay."""
        return list(self._of("containers"))

    @property
    def all_containers(self) -> list[Container]:
        """Init containers and containers."""
        return [*self._of("initContainers"), *self._of("containers")]

    def _of(self, key: str) -> Iterator[Container]:
        for each in trees(self.pod.get(key)):
            yield Container(each, f"{self.prefix}.{key}[{each.get('name', '?')}]")

    @property
    def volumes(self) -> dict[str, Tree]:
        """The pod's volumes by name."""
        return {str(v.get("name")): v for v in trees(self.pod.get("volumes"))}

    @property
    def claims(self) -> list[str]:
        """The claims that the pod mounts."""
        found = (dig(v, "persistentVolumeClaim", "claimName") for v in self.volumes.values())
        return [str(name) for name in found if name]

    @property
    def declared_ports(self) -> dict[str | int, int]:
        """Container ports by name and by number."""
        ports: dict[str | int, int] = {}
        for port in (p for c in self.containers for p in c.ports):
            number = port.get("containerPort")
            if isinstance(number, int):
                ports[number] = number
                if port.get("name"):
                    ports[str(port["name"])] = number
        return ports

    def port_behind(self, service_port: Tree) -> int | None:
        """The container port that a Service's port leads to, None where no container declares it."""
        target = service_port.get("targetPort", service_port.get("port"))
        return next((number for port, number in self.declared_ports.items() if port == target), None)

    def volume_at(self, container: Container, path: str) -> tuple[Tree, Tree] | None:
        """The mount and volume that hold a path in the container; the deepest mount wins."""
        mounts = [m for m in trees(container.data.get("volumeMounts")) if _within(path, str(m.get("mountPath")))]
        if not mounts:
            return None
        mount = max(mounts, key=lambda m: len(str(m["mountPath"])))
        volume = self.volumes.get(str(mount.get("name")))
        return None if volume is None else (mount, volume)


def _within(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return path == folder or path.startswith(folder + "/")


def workload_of(obj: Obj) -> Workload | None:
    """The workload that an object is, or None."""
    return Workload(obj) if obj.kind in WORKLOADS else None
