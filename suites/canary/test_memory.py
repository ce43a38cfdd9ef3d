"""A canary whose memory only grows is seen to do so long before it is killed for it."""

import pytest

from fixtures.canary import Canary, leaking
from fixtures.verdicts import Evidence
from shakedown.cluster import Cluster
from shakedown.ledger import now
from shakedown.lint.quantity import quantity
from shakedown.memory import Growth, growth_of
from shakedown.observe.prometheus import NoData, Prometheus
from shakedown.sequential import Finding
from shakedown.wait import NotYet, eventually

pytestmark = pytest.mark.test_bed
HORIZON_S = 3600.0  # a canary that would be killed within an hour is none to go on with
WINDOW_S = 100  # four scrapes of cAdvisor at the pace that ships


@pytest.mark.conformance
def test_leaking_canary_is_seen_to_leak_and_one_at_rest_is_not(
    canary: Canary, cluster: Cluster, prometheus: Prometheus, evidence: Evidence
) -> None:
    """The line through its memory's samples reaches the limit in time where it leaks, and not where it doesn't."""
    container = cluster.core.read_namespaced_pod(canary.pod.name, canary.names.namespace).spec.containers[0]
    limit = float(quantity(container.resources.limits["memory"]) or 0)
    assert limit, "the canary's memory has no limit, so it reaches none"

    def watched(window: int, finding: Finding) -> Growth:
        try:
            seen = growth_of(prometheus, canary.pod.name, container.name, limit, window)
        except NoData as nothing:  # it has only just come up
            raise NotYet(str(nothing)) from nothing
        if seen.finding(HORIZON_S) is not finding:
            raise NotYet(str(seen))
        return seen

    # a server that has only just started has grown to its size within the window
    usual = eventually(lambda: watched(WINDOW_S, Finding.GOOD), within=3 * WINDOW_S, awaited="its memory is at rest")
    began = now()
    with leaking(canary):
        found = eventually(
            lambda: watched(int(now() - began) + 1, Finding.BAD),
            within=2 * WINDOW_S,
            awaited="its memory is seen to grow towards its limit",
        )
        took = now() - began
    evidence(f"at rest {usual}; leaking {found}: seen after {took:.0f} s")
