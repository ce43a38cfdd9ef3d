"""The programs that are built from Go modules, with the versions that go.mod files can't say."""

from airgap.golang import Program

KUBERNETES_VERSION = "v1.34.4"
ETCD_TAG = "3.6.5-0"  # what kubeadm asks for; gomod/etcd says what is inside
COREDNS_VERSION = "v1.12.1"
PAUSE_VERSION = "3.10.1"
AGNHOST_VERSION = "2.56"

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
