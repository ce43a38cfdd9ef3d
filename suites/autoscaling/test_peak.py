"""More load than the autoscaler may follow: it stops at its maximum, and says so."""

import pytest

from fixtures.tide import Tide
from fixtures.verdicts import Evidence

pytestmark = pytest.mark.test_bed
LIMITED = "True TooManyReplicas"


def test_maximum_is_respected_when_the_load_asks_for_more(tide: Tide, evidence: Evidence) -> None:
    """At a peak that asks for twice the maximum there are as many servers as may be, and not one more."""
    scaler = tide.scaling.scaler
    read = max(float(each.fields["value"]) for each in tide.states("metric", tide.at.peak, tide.at.peaked))
    asked = scaler.asks_for(scaler.most, read, scaler.rate)
    assert asked > scaler.most, f"{read:.0f}/s read asks for {asked}, no more than the maximum: the load was too small"
    pods = tide.states("pods", tide.at.peak, tide.at.left)
    most = max(each.fields["ready"] for each in pods)
    wanted = max(size for _, size in tide.wanted(tide.at.peak, tide.at.left))
    assert most == wanted == scaler.most, f"{wanted} wanted and {most} ready, maxReplicas is {scaler.most}"
    evidence(f"{read:.0f}/s read asks for {asked} servers; never more than {most} wanted and ready")


def test_autoscaler_says_that_it_is_held_at_its_maximum(tide: Tide, evidence: Evidence) -> None:
    """Whoever looks at it sees why it goes no further: ScalingLimited, TooManyReplicas."""
    said = [e.fields["conditions"].get("ScalingLimited") for e in tide.states("hpa", tide.at.peak, tide.at.left)]
    assert LIMITED in said, f"at its maximum ScalingLimited was {sorted(set(map(str, said)))}"
    evidence(f"ScalingLimited: {LIMITED}")


def test_no_prediction_fails_at_the_peak(tide: Tide, evidence: Evidence) -> None:
    """The servers that may be there answer all of it, and rightly."""
    windows = tide.judge(tide.at.peak, tide.at.peaked)
    for window in windows:
        window.assert_kept_up()
    evidence("; ".join(map(str, windows)))
