"""The node image of kind's clusters: systemd, containerd and Kubernetes on Debian, sealed, in the engine."""

import shutil
from pathlib import Path

from airgap import cache, debian, golang, programs
from airgap.docker import load_image
from airgap.layers import Image, layer

REPOSITORY = "shakedown/node"
HERE = Path(__file__).parent / "node"
PACKAGES = (
    *("ca-certificates", "conntrack", "containerd", "containernetworking-plugins", "dbus", "ebtables", "ethtool"),
    *("iproute2", "iptables", "kmod", "mount", "nftables", "procps", "runc", "socat", "systemd", "systemd-sysv"),
    "util-linux",
)
FILES = {
    "entrypoint": "usr/local/bin/entrypoint",
    "seal": "usr/local/bin/seal",
    "kubelet-cgroup": "usr/local/bin/kubelet-cgroup",
    "kubelet.service": "etc/systemd/system/kubelet.service",
    "containerd.service": "etc/systemd/system/containerd.service",
    "containerd.toml": "etc/containerd/config.toml",
    "default-cni.yaml": "kind/manifests/default-cni.yaml",
    "default-storage.yaml": "kind/manifests/default-storage.yaml",
}
# a container has no use for these, and some of them wait for what isn't there
MASKED = ("getty.target", "systemd-logind", "systemd-networkd", "systemd-resolved", "systemd-udevd")
ENTRYPOINT = ("/usr/local/bin/entrypoint", "/lib/systemd/systemd")


def ensure() -> str:
    """The name of the node image, which the engine has afterwards. Needs root. Raises BuildError."""
    image = build()
    load_image(image)
    return image.name


def build() -> Image:
    """The node image, in the cache. Needs root. Raises BuildError."""
    base = debian.base("debian-node", PACKAGES, 130)
    kubernetes = golang.build_program(programs.KUBERNETES)
    recipe = {"files": cache.files_digest(HERE), "kubernetes": kubernetes.name, "masked": MASKED, "to": FILES}
    node = layer("node", recipe, lambda tree: fill(tree, kubernetes))
    return Image(
        f"{REPOSITORY}:{programs.KUBERNETES_VERSION}-{cache.key_of({'layers': [base.digest, node.digest]})}",
        (base, node),
        ENTRYPOINT,
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container": "docker"},
        options={"StopSignal": "SIGRTMIN+3"},
    )


def fill(tree: Path, kubernetes: Path) -> None:
    """Everything that a node has beside Debian."""
    for source, target in FILES.items():
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / source, tree / target)
    (tree / "kind" / "version").write_text(f"{programs.KUBERNETES_VERSION}\n")
    (tree / "usr" / "bin").mkdir()
    for program in ("kubeadm", "kubectl", "kubelet"):
        shutil.copy(kubernetes / program, tree / "usr" / "bin" / program)
    (tree / "opt" / "cni").mkdir(parents=True)
    (tree / "opt" / "cni" / "bin").symlink_to("/usr/lib/cni")
    units = tree / "etc" / "systemd" / "system"
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    wanted = units / "multi-user.target.wants"
    wanted.mkdir()
    (wanted / "kubelet.service").symlink_to("/etc/systemd/system/kubelet.service")
    (wanted / "containerd.service").symlink_to("/etc/systemd/system/containerd.service")
    for unit in MASKED:
        (units / (unit if "." in unit else f"{unit}.service")).symlink_to("/dev/null")
