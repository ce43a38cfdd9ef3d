"""A configuration that Prometheus refuses: it runs on with the old one, and says so."""

import pytest

from fixtures.verdicts import Evidence
from shakedown.causes import Scene, refused_configuration
from shakedown.course import Expected, Monitoring, follow
from shakedown.wait import NotYet

pytestmark = [
    pytest.mark.test_bed,  # Prometheus' own configuration is spoiled
    pytest.mark.conformance,  # the reloader tries a refused configuration for three minutes before it looks again
]
SYNC_S = (
    90.0  # a kubelet hands a changed Secret on within its sync period of a minute, jittered, and the reloader's own
)


def test_refused_configuration_is_told_and_ends_with_its_mending(
    quiet: float, monitoring: Monitoring, scene: Scene, promised: float, evidence: Evidence
) -> None:
    """A change that never came into force doesn't go unnoticed."""

    def taken() -> None:
        if not monitoring.prometheus.value("min(prometheus_config_last_reload_successful)"):
            raise NotYet("the last reload failed")

    cause = refused_configuration(scene, "monitoring", "main", taken)
    wanted = Expected("ConfigReloadFailing", {"pod": "prometheus-main-0", "severity": "warning"}, SYNC_S)
    (course,) = follow(monitoring, [wanted], promised + SYNC_S, cause)
    course.assert_in_time()
    assert quiet
    evidence(str(course))
