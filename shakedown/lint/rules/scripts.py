import ast
import builtins
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise

from shakedown.lint.objects import Obj, dig, tree, trees
from shakedown.lint.rule import Problem, Problems, rule
from shakedown.lint.rules.network import DNS, network_of, pod_of
from shakedown.lint.workload import Container, Workload
from shakedown.lint.world import World

SHELLS = {"sh", "bash", "/bin/sh", "/bin/bash"}
URL = re.compile(r"https?://([a-z0-9-]+)\.([a-z0-9-]+)\.svc[a-z0-9.-]*(?::(\d+))?")
TIMEOUT_S = 10


def workloads(world: World) -> Iterable[Obj]:
    """All objects that make pods."""
    return world.workloads


def scripts(container: Container) -> Iterator[str]:
    """The lines that a shell of the container is told to run."""
    words = container.command_line
    if words and words[0] in SHELLS:
        yield from (line for flag, line in pairwise(words[1:]) if re.fullmatch(r"-[a-z]*c", flag))


@cache
def shell_says(text: str) -> str:
    """What `sh -n` says against a script; empty where it parses, or no shell is on the PATH."""
    shell = shutil.which("sh")
    if shell is None:
        return ""
    done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.stderr.strip() if done.returncode else ""


@rule(
    "scripts-parse",
    lambda world: world.of("ConfigMap"),
    why="a script that does not parse fails at its first line, in the cluster",
)
def _scripts_parse(obj: Obj, _world: World) -> Problems:
    for key, text in tree(obj.data.get("data")).items():
        if key.endswith(".sh") and shell_says(str(text)):
            yield Problem(f"data[{key}]", f"does not parse: {shell_says(str(text))}", "correct the script")
        if key.endswith(".py"):
            try:
                undefined = sorted(_undefined(ast.parse(str(text))))
            except SyntaxError as error:
                yield Problem(f"data[{key}]", f"does not parse: {error}", "correct the script")
                continue
            if undefined:
                yield Problem(f"data[{key}]", f"uses {', '.join(undefined)} without defining it", "import or define it")


def _undefined(module: ast.Module) -> set[str]:
    """Names that a flat script reads and never binds."""
    names = [node for node in ast.walk(module) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | set(dir(builtins))
    bound |= {node.arg for node in ast.walk(module) if isinstance(node, ast.arg)}
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            bound.add(node.name)
    return {node.id for node in names if isinstance(node.ctx, ast.Load)} - bound


@rule("commands-parse", workloads, why="a shell line that does not parse fails at once, in the cluster")
def _commands_parse(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].all_containers:
        for text in scripts(container):
            if shell_says(text):
                yield Problem(f"{container.field}.args", f"does not parse: {shell_says(text)}", "correct the line")
        words = container.command_line
        if words and words[0] in SHELLS and len(words) > 1 and not words[1].startswith(("-", "/")):
            yield Problem(
                f"{container.field}.command", f"gives {words[0]} a line without -c", "give it -c, or a script"
            )


@rule(
    "named-files-are-mounted",
    workloads,
    why="a program whose file is not where it looks fails at its start, or runs without it",
)
def _named_files_are_mounted(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for container in workload.all_containers:
        for path in re.findall(r"(?:^|[\s=])(/[\w./-]+\.\w+)(?=\s|$)", "\n".join(container.command_line)):
            found = workload.volume_at(container, path)
            if found and "configMap" in found[1] and world.file_in(workload, container, path) is None:
                yield Problem(
                    f"{container.field}.args",
                    f"{path} is not in the ConfigMap that is mounted there",
                    "correct path or key",
                )


@rule("volumes-are-mounted", workloads, why="a volume that no container mounts holds nothing that anybody reads")
def _volumes_are_mounted(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    mounted = {str(m.get("name")) for c in workload.all_containers for m in trees(c.data.get("volumeMounts"))}
    for name in sorted(workload.volumes.keys() - mounted):
        yield Problem(f"{workload.prefix}.volumes[{name}]", "no container mounts it", "mount it, or drop it")
    for container in workload.all_containers:
        for mount in trees(container.data.get("volumeMounts")):
            volume = tree(workload.volumes.get(str(mount.get("name"))))
            path = str(mount.get("mountPath"))
            named = path in "\n".join(container.command_line)
            if "configMap" in volume and container.command_line and not named and "subPath" not in mount:
                yield Problem(
                    f"{container.field}.volumeMounts[{mount['name']}]",
                    f"nothing that it runs names {path}",
                    "mount it where the command looks",
                )


@rule(
    "temporary-files-fit",
    workloads,
    why="a program that can't write its temporary files fails in the middle of its work",
)
def _temporary_files_fit(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    needing = [world.servers[obj].container.name] if obj in world.servers else []
    for container in workload.containers:
        needs = container.name in needing or any(word.endswith("=/tmp") for word in container.command_line)
        found = workload.volume_at(container, "/tmp")  # noqa: S108  # the container's, not this machine's
        read_only = dig(container.data, "securityContext", "readOnlyRootFilesystem")
        if needs and read_only and (found is None or "emptyDir" not in found[1] or found[0].get("readOnly")):
            yield Problem(
                f"{container.field}.volumeMounts",
                "the root is read only and nothing writable is at /tmp",
                "mount an emptyDir there",
            )


def _dns_problems(workload: Workload, field: str, name: str, world: World) -> Problems:
    for protocol in ("UDP", "TCP"):
        verdict = network_of(world).reach(pod_of(workload), DNS, 53, protocol)
        if not verdict.allowed:
            names = ", ".join(map(str, verdict.blocked_by))
            yield Problem(f"{field}.args", f"can't ask DNS for {name} over {protocol}: {names}", "allow egress to DNS")


@rule(
    "urls-lead-somewhere",
    workloads,
    why="a check that asks an address where nothing answers reports an outage for ever",
)
def _urls_lead_somewhere(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for container in workload.all_containers:
        for name, namespace, number in URL.findall(world.script(workload, container)):
            service = world.find("Service", namespace, name)
            if service is None or name.endswith("-operated"):
                if namespace in world.namespaces and not name.endswith("-operated"):
                    yield Problem(
                        f"{container.field}.args",
                        f"asks {name}.{namespace}, which is not rendered",
                        "name a Service that is",
                    )
                continue
            port = next((p for p in trees(service.spec.get("ports")) if p.get("port") == int(number or 80)), None)
            if port is None:
                yield Problem(
                    f"{container.field}.args", f"asks port {number or 80} of {service}", "ask a port that it has"
                )
                continue
            yield from _dns_problems(workload, container.field, name, world)
            for target in world.backends(service):
                verdict = network_of(world).reach(pod_of(workload), pod_of(target), target.port_behind(port) or 0)
                if not verdict.allowed:
                    yield Problem(
                        f"{container.field}.args",
                        f"can't reach {service}: {', '.join(map(str, verdict.blocked_by))}",
                        "admit it",
                    )
