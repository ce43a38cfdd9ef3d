module kube-state-metrics-build

go 1.25.0

require k8s.io/kube-state-metrics/v2 v2.18.0
