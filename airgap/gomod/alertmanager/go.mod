module alertmanager-build

go 1.24.0

require github.com/prometheus/alertmanager v0.28.1
