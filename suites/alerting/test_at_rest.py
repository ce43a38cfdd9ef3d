"""The stack at rest: nothing fires but the watchdog, everything is scraped, every rule can be judged."""

import json
import time

import pytest

from fixtures.verdicts import Evidence
from shakedown.api_paths import autoscaler_path
from shakedown.backends.wire import Wire
from shakedown.cluster import Cluster
from shakedown.course import Expected, Monitoring, await_delivery, plan
from shakedown.manifests import Stack
from shakedown.observe.kubernetes import hpa, metric
from shakedown.observe.prometheus import NoData, Prometheus
from shakedown.serving import Pod
from shakedown.settings import Deadlines, Deployment
from shakedown.timing import BUSY_S, grouping_of, metrics_of
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.needs("monitoring")

RATE_WINDOW = "1m"  # in the place of Grafana's $__rate_interval


@pytest.mark.smoke
def test_every_server_is_scraped_and_no_target_is_down(
    prometheus: Prometheus, servers: list[Pod], deployment: Deployment, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Prometheus scrapes each ready server at the path that it answers at, and everything else that it is told to."""
    wanted = {pod.name for pod in servers if pod.ready}

    def scraped() -> int:
        try:
            found = prometheus.targets()
        except NoData as early:  # until it has looked for targets once
            raise NotYet(str(early)) from early
        ours = {t.labels.get("pod", "") for t in found if t.labels.get("job") == deployment.service}
        down = [f"{t.pool} ({t.labels.get('instance')}): {t.said or 'not scraped yet'}" for t in found if not t.up]
        if missing := wanted - ours:
            hint = "; does the ServiceMonitor select the Service's labels, and name its port?" if not ours else ""
            raise NotYet(f"no target for {', '.join(sorted(missing))}{hint}")
        if down:
            raise NotYet(f"{len(down)} of {len(found)} down: {down[0]}")
        return len(found)

    assert wanted, "no server is ready, so none is scraped"
    count = eventually(scraped, within=deadlines.pods, awaited="every target is scraped")
    evidence(f"{count} targets up, {len(wanted)} servers among them")


@pytest.mark.smoke
def test_prometheus_holds_what_every_server_counts(
    prometheus: Prometheus, servers: list[Pod], wire: Wire, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Of each ready server Prometheus has the metric that counts predictions: it is the server's page that it reads."""
    wanted = {pod.name for pod in servers if pod.ready}

    def counted() -> dict[str, float]:
        try:
            found = {s.labels["pod"]: s.value for s in prometheus.query(f"sum by (pod) ({wire.counted})")}
        except NoData as empty:
            raise NotYet(str(empty)) from empty
        if missing := wanted - found.keys():
            raise NotYet(f"{wire.counted} is there of {sorted(found)}, not of {', '.join(sorted(missing))}")
        return found

    counts = eventually(counted, within=deadlines.pods, awaited=f"Prometheus has {wire.counted} of every server")
    assert wanted
    evidence(f"{wire.counted} of {len(wanted)} servers, {sum(counts.values()):g} in all")


@pytest.mark.smoke
def test_watchdog_fires_and_reaches_the_receiver(monitoring: Monitoring, promised: float, evidence: Evidence) -> None:
    """The alert that always fires has come out at the far end, and lately: rules, Alertmanager, receiver work."""
    dog = plan(monitoring, Expected("Watchdog", {"severity": "info"}), promised)
    labels = {"alertname": dog.rule.name, "namespace": "", **dog.rule.labels}
    treated = grouping_of(monitoring.alertmanager.configuration(), labels)
    lately = time.time() - (treated.repeat + treated.interval + BUSY_S)
    told = await_delivery(monitoring, dog, "firing", lately, promised)
    assert told.annotations["summary"]
    assert told.annotations["runbook_url"].endswith("Watchdog.md")
    evidence(f"delivered with labels {dict(told.labels)}")


def test_nothing_fires_at_rest_but_the_watchdog(quiet: float, prometheus: Prometheus, evidence: Evidence) -> None:
    """With all well, nobody is woken."""
    firing = {s.labels["alertname"] for s in prometheus.query('ALERTS{alertstate="firing"}')}
    assert quiet
    assert firing == {"Watchdog"}
    evidence(f"firing: {sorted(firing)}")


def test_every_rule_is_evaluated_without_an_error(quiet: float, prometheus: Prometheus, evidence: Evidence) -> None:
    """No rule that is loaded fails, and none is still waiting for its first evaluation."""
    rules = prometheus.rules()
    broken = [f"{rule.name}: {rule.error or 'not evaluated yet'}" for rule in rules if not rule.evaluated or rule.error]
    assert quiet
    assert not broken, f"{len(broken)} of {len(rules)} rules: {broken[0]}"
    evidence(f"{len(rules)} rules evaluated")


def test_every_metric_that_a_rule_names_exists(quiet: float, prometheus: Prometheus, evidence: Evidence) -> None:
    """No rule is silent because it asks for a metric that nobody has."""
    rules = prometheus.rules()
    there = prometheus.metrics() | prometheus.described()
    wanted = {metric: rule.name for rule in rules for metric in metrics_of(rule.query, rules)}
    missing = {metric: rule for metric, rule in wanted.items() if metric not in there}
    assert quiet
    assert wanted
    assert not missing, f"nobody has {', '.join(f'{metric} (rule {rule})' for metric, rule in missing.items())}"
    evidence(f"{len(wanted)} metrics named by {len(rules)} rules, all there")


@pytest.mark.asks_for("dashboard")
@pytest.mark.test_bed  # the dashboard of an existing cluster is not known here
def test_every_panel_of_the_dashboard_shows_data(
    quiet: float, stack: Stack, prometheus: Prometheus, deadlines: Deadlines, evidence: Evidence
) -> None:
    """Whoever opens the dashboard in an incident finds no empty panel."""
    boards = [o["data"] for o in stack.objects if "grafana_dashboard" in o["metadata"].get("labels", {})]
    panels = [panel for data in boards for text in data.values() for panel in json.loads(text)["panels"]]
    asked = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]

    def shown() -> int:
        count = 0
        for title, expr in asked:
            try:
                count += len(prometheus.query(expr.replace("$__rate_interval", RATE_WINDOW)))
            except NoData as empty:  # of a rate, until there are two samples
                raise NotYet(f"panel {title!r} is empty: {empty}") from empty
        return count

    series = eventually(shown, within=deadlines.pods, awaited="every panel shows data")
    assert quiet
    assert len(asked) >= len(panels) > 0
    evidence(f"{len(asked)} queries of {len(panels)} panels, {series} series")


def test_autoscaler_gets_a_value_for_every_metric_that_it_asks_for(
    cluster: Cluster, quiet: float, deployment: Deployment, deadlines: Deadlines, evidence: Evidence
) -> None:
    """What the autoscaler scales by is served: CPU by metrics-server, request rates by the adapter's rule."""
    path = autoscaler_path(deployment.namespace, deployment.workload)

    def served() -> dict[str, str | None]:
        wanted = [metric(each)[0] for each in cluster.get(path)["spec"]["metrics"]]
        (seen,) = hpa(cluster, deployment.namespace, deployment.workload)()
        values = {name: seen.fields["metrics"].get(name) for name in wanted}
        if missing := [name for name, value in values.items() if value is None]:
            raise NotYet(f"no value for {', '.join(missing)}; {seen.fields['conditions']}")
        return values

    assert quiet
    values = eventually(served, within=deadlines.pods, awaited=f"HPA {deployment.workload} gets every metric")
    evidence(f"{len(values)} metrics: {values}")
