"""The canary's share of the traffic is the one that it was given, for REST and gRPC, through changes and restarts."""

import pytest
import requests

from fixtures.canary import GATEWAY, GATEWAYS, SETTLED_S, USERS, Canary
from fixtures.verdicts import Evidence
from models.canary import GOOD, STABLE
from shakedown.canary import require_split
from shakedown.cluster import Cluster
from shakedown.faults.inject import Faults
from shakedown.faults.pods import PodDeleted, Victim
from shakedown.ledger import now
from shakedown.load import Protocol, Traffic
from shakedown.serving import Pod, pods
from shakedown.stats import plan_binomial
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually
from shakedown.window import Window

pytestmark = pytest.mark.test_bed
SHARE = 10  # percent
ALPHA = BETA = 1e-3  # of a right split refused, of a wrong one passed: one false alarm in a thousand runs
TWICE = plan_binomial(SHARE / 100, 2 * SHARE / 100, ALPHA, BETA).samples  # tells 10 % from 20 %
HALF = plan_binomial(SHARE / 100, 0.5, ALPHA, BETA).samples  # tells 90/10 from 50/50
CHANGES = 20
RATE = 100.0  # users a second where a share is measured
LAST = 20  # answers by which a change is seen: 90 % and 10 % of them are mistaken for each other once in 10**9


def hits(window: Window) -> tuple[int, int]:
    """How many of a window's answers were the canary's, of how many. Raises Failed for an error or a wrong answer."""
    window.assert_none_failed()
    window.assert_none_wrong({STABLE, GOOD})
    return window.by_version().get(GOOD, 0), window.sent


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_measured_split_equals_the_weight(canary: Canary, protocol: Protocol, evidence: Evidence) -> None:
    """The share of users who reach the canary is its weight: by their answers, and by the gateway's own count."""
    canary.shift(SHARE)
    with canary.users(protocol, RATE) as traffic:
        traffic.collect(SETTLED_S)
        before = canary.attempts()
        own, sent = hits(traffic.collect(TWICE / RATE + 0.5))
        after = canary.attempts()
    told = require_split(own, sent, SHARE, ALPHA)
    stable, counted = (after[name] - before[name] for name in canary.services)
    require_split(round(counted), round(stable + counted), SHARE, ALPHA)
    assert sent >= TWICE
    evidence(
        f"{protocol}: {told} ({TWICE} tell 10 % from 20 %); the gateway counts {counted:g} of {stable + counted:g}"
    )


def test_even_split_in_place_of_a_tenth_is_found(canary: Canary, evidence: Evidence) -> None:
    """A route that halves the users where a tenth was ordered is found out with the sample size computed for it."""
    canary.shift(50)
    with canary.users() as traffic:
        traffic.collect(SETTLED_S)
        window = traffic.collect(HALF / USERS + 0.5)
    first = window.requests[:HALF]
    own = sum(each.version == GOOD for each in first)
    with pytest.raises(Failed, match="not the 10 %"):
        require_split(own, len(first), SHARE, ALPHA)
    evidence(f"{own} of {len(first)} requests reached the canary: refused as a tenth; {HALF} were computed to do")


def landed(traffic: Traffic, since: float, share: int) -> float:
    """Seconds until the last answers are dealt as a change says."""

    def there() -> float:
        last = [each for each in traffic.read().requests if each.scheduled >= since][-LAST:]
        own = sum(each.version == GOOD for each in last)
        if len(last) < LAST or (own > LAST / 2) != (share > 50):
            raise NotYet(f"{own} of the last {len(last)} answers are the canary's")
        return now() - since

    return eventually(there, within=10, awaited=f"the share of {share} % is in force")


def test_twenty_weight_changes_lose_no_request_and_give_no_wrong_answer(canary: Canary, evidence: Evidence) -> None:
    """At 50 requests a second the weights change twenty times, each change is seen to land, and no user notices."""
    took = []
    with canary.users() as traffic:
        for change in range(CHANGES):
            share = (90, 10)[change % 2]
            canary.shift(share)
            took.append(landed(traffic, now(), share))
        whole = traffic.window(traffic.began)
    own, sent = hits(whole)
    evidence(
        f"{CHANGES} changes, in force within {max(took):.1f} s each; {sent} requests, {own} of them the canary's,"
        f" none failed and none wrong; {whole}"
    )


def opened(canary: Canary, killed: Pod, cluster: Cluster) -> None:
    """Another gateway runs and lets users in."""
    found = pods(cluster, GATEWAY, GATEWAYS)
    if not any(pod.ready and pod.uid != killed.uid for pod in found):
        raise NotYet(f"no other gateway is ready in place of {killed.name}")
    try:
        code = canary.door.get(f"/v1/models/{canary.names.model}").status_code
    except requests.RequestException as shut:
        raise NotYet(f"the front door is shut: {type(shut).__name__}") from shut
    if code != requests.codes.ok:
        raise NotYet(f"the front door says {code}")


def test_restarted_gateway_keeps_the_weights(
    canary: Canary, cluster: Cluster, faults: Faults, evidence: Evidence
) -> None:
    """The gateway is gone at once in mid-canary; the one that comes after it deals out the same share.

    Its pod goes with it: a container that runs anew would look like a crash to whoever counts restarts later.
    """
    killed = pods(cluster, GATEWAY, GATEWAYS)[0]
    victim = Victim(cluster, GATEWAY, killed, 1)
    canary.shift(SHARE)
    with faults.inject(PodDeleted(victim, grace=0)) as bitten:
        eventually(lambda: opened(canary, killed, cluster), within=canary.scene.within, awaited="the gateway is back")
    with canary.users(rate=RATE) as traffic:
        own, sent = hits(traffic.collect(TWICE / RATE + 0.5))
    evidence(f"{bitten.said}; then {require_split(own, sent, SHARE, ALPHA)}")
