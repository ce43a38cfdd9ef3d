"""Command-line options and fixtures of the suites: which modules hold them, nothing else."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.static",
    "fixtures.verdicts",
    "fixtures.terminal",
    "fixtures.cluster",
    "fixtures.backend",
    "fixtures.stack",
    "fixtures.serving",
    "fixtures.load",
    "fixtures.autoscaling",
    "fixtures.tide",
    "fixtures.monitoring",
    "fixtures.alerting",
    "fixtures.faults",
    "fixtures.release",
    "fixtures.dry_run",
]
