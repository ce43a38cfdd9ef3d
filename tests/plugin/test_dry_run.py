"""A dry run tells what would be touched, of every promise that somebody's own cluster is asked, and does nothing."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SUITES = ("suites/health", "suites/prediction", "suites/recovery", "suites/alerting")


def dry_run(*options: str) -> str:
    command = [sys.executable, "-m", "pytest", *SUITES, "--dry-run", *options]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_everything_that_an_existing_cluster_is_asked_says_what_it_touches() -> None:
    said = dry_run("--cluster-provider=existing", "--kube-context=nowhere", "--profile=conformance")
    assert "not known" not in said, "say in fixtures/dry_run.py what the fixture does, or mark the test test_bed"
    assert "  HorizontalPodAutoscaler model-serving/tensorflow-serving: held at its least size, then put back" in said
    assert "  Pods of Prometheus in monitoring: a tunnel, queries" in said


def test_what_a_deployment_does_not_have_is_not_asked_of_it() -> None:
    example = "--settings=examples/label-reader-on-kind/shakedown.toml"
    said = dry_run(example, "--kube-context=nowhere")
    assert "alerting:" not in said, "the example has no Prometheus stack"
    assert "Deployment vision/label-reader" in said
    assert "model-serving" not in said


def test_a_dry_run_leaves_no_report() -> None:
    before = set((PROJECT / "reports").glob("*"))
    assert "of a kind cluster that the run makes" in dry_run()
    assert set((PROJECT / "reports").glob("*")) == before
