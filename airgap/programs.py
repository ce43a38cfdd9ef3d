"""The programs that are built from Go modules, with the versions that go.mod files can't say."""

from airgap.golang import Program

KUBERNETES_VERSION = "v1.34.4"
ETCD_TAG = "3.6.5-0"  # what kubeadm asks for; gomod/etcd says what is inside
COREDNS_VERSION = "v1.12.1"
PAUSE_VERSION = "3.10.1"
AGNHOST_VERSION = "2.56"
PROMETHEUS_VERSION = "3.16.0"  # gomod/prometheus has it as v0.316.0
ALERTMANAGER_VERSION = "0.28.1"
PROMETHEUS_OPERATOR_VERSION = "0.85.0"
BLACKBOX_EXPORTER_VERSION = "0.28.0"
KUBE_STATE_METRICS_VERSION = "2.18.0"
METRICS_SERVER_VERSION = "0.9.0"
PROMETHEUS_ADAPTER_VERSION = "0.12.0"

KUBERNETES_COMMANDS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubeadm",
    "kubectl",
    "kubelet",
)
KUBERNETES = Program(
    "kubernetes",
    (*(f"k8s.io/kubernetes/cmd/{command}" for command in KUBERNETES_COMMANDS), "k8s.io/kubernetes/test/images/agnhost"),
    ldflags=f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
    expect_s=450,
)
KUBECTL = Program("kubernetes", ("k8s.io/kubernetes/cmd/kubectl",), KUBERNETES.ldflags, expect_s=120)
ETCD = Program("etcd", ("go.etcd.io/etcd/server/v3",), expect_s=75)
COREDNS = Program("coredns", ("github.com/coredns/coredns",), expect_s=180)
KIND = Program("kind", ("sigs.k8s.io/kind",), expect_s=20)
PAUSE = Program("pause", (".",), ldflags="-s -w", expect_s=5)
ALERT_SINK = Program("alert-sink", (".",), ldflags="-s -w", expect_s=10)


def stamped(version: str) -> str:
    """What the linker is told so that a program of Prometheus' family knows its own version."""
    return f"-s -w -X github.com/prometheus/common/version.Version={version}"


# without the tags, the clients of every cloud would come along
PROMETHEUS = Program(
    "prometheus",
    ("github.com/prometheus/prometheus/cmd/prometheus", "github.com/prometheus/prometheus/cmd/promtool"),
    stamped(PROMETHEUS_VERSION),
    tags="remove_all_sd,enable_kubernetes_sd",
    expect_s=300,
)
ALERTMANAGER = Program(
    "alertmanager", ("github.com/prometheus/alertmanager/cmd/alertmanager",), stamped(ALERTMANAGER_VERSION), expect_s=90
)
PROMETHEUS_OPERATOR = Program(
    "prometheus-operator",
    (
        "github.com/prometheus-operator/prometheus-operator/cmd/operator",
        "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader",
    ),
    stamped(PROMETHEUS_OPERATOR_VERSION),
    expect_s=200,
)
BLACKBOX_EXPORTER = Program(
    "blackbox-exporter", ("github.com/prometheus/blackbox_exporter",), stamped(BLACKBOX_EXPORTER_VERSION), expect_s=60
)
KUBE_STATE_METRICS = Program(
    "kube-state-metrics", ("k8s.io/kube-state-metrics/v2",), stamped(KUBE_STATE_METRICS_VERSION), expect_s=120
)
METRICS_SERVER = Program("metrics-server", ("sigs.k8s.io/metrics-server/cmd/metrics-server",), "-s -w", expect_s=200)
PROMETHEUS_ADAPTER = Program(
    "prometheus-adapter", ("sigs.k8s.io/prometheus-adapter/cmd/adapter",), "-s -w", expect_s=150
)
