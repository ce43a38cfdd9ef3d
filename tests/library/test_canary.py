"""A canary's verdict keeps its declared error rates, and its share goes up step by step and down at once."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from shakedown.canary import (
    STEPS,
    Analysis,
    analyse,
    attempts,
    promote,
    require_split,
    require_testers,
    share_of,
    split_patch,
)
from shakedown.replay import Answer
from shakedown.sequential import Finding, Measure, Sequential, together
from shakedown.stats import one_sided_bound
from shakedown.verdict import Failed

ROOT = Path(__file__).parents[2]
REPLAYS, MOST, SLOW_S, DECLARED = 300, 8_000, 0.1, 0.05
FAILED = Answer(failed=True)
FINE = Answer(failed=False, seconds=0.01, right=True, stable_right=True, drift=0.05)
UNKNOWN = Answer(failed=False, seconds=0.01)  # whose label nobody knows
NAMES = ("tensorflow-serving", "tensorflow-serving-canary")


def answers(
    draw: np.random.Generator, failing: float, slow: float, lost: float, won: float, drift: float = 0.1
) -> Iterator[Answer]:
    """Answers at random; `lost` and `won` are the shares of inputs that only one of the two versions gets right."""
    fails, slows = draw.random(MOST) < failing, draw.random(MOST) < slow
    pair, drifts = draw.random(MOST), draw.exponential(drift, MOST).clip(max=1.0)
    for fail, late, p, far in zip(fails, slows, pair.tolist(), drifts.tolist(), strict=True):
        yield (
            FAILED
            if fail
            else Answer(
                failed=False,
                seconds=0.2 if late else 0.01,
                right=p >= lost,
                stable_right=not lost <= p < lost + won,
                drift=far,
            )
        )


def ends(sent: Iterable[Answer]) -> tuple[Finding, int]:
    done = analyse(sent, Analysis(SLOW_S, DECLARED, DECLARED), within=3600)
    return done.finding, done.samples


# each at its declared edge: the worst canary that is still good, and the best one that is bad in one way alone
KINDS: dict[str, tuple[Finding, tuple[float, ...]]] = {
    "good": (Finding.GOOD, (0.001, 0.009, 0.03, 0.03)),
    "errs": (Finding.BAD, (0.02, 0.0, 0.03, 0.03)),
    "slow": (Finding.BAD, (0.0, 0.05, 0.03, 0.03)),
    "less-accurate": (Finding.BAD, (0.0, 0.005, 0.04, 0.02)),
    "drifts": (Finding.BAD, (0.0, 0.005, 0.03, 0.03, 0.205)),  # cut off at 1, a mean of 0.2
}


@pytest.mark.parametrize("kind", KINDS)
def test_over_300_replays_a_wrong_verdict_is_rarer_than_declared(kind: str) -> None:
    right, shares = KINDS[kind]
    wrong_one = Finding.BAD if right is Finding.GOOD else Finding.GOOD
    found = [ends(answers(np.random.default_rng([seed, len(kind)]), *shares)) for seed in range(REPLAYS)]
    wrong, unclear = (sum(f is w for f, _ in found) for w in (wrong_one, Finding.UNCLEAR))
    bound = one_sided_bound(wrong, REPLAYS, 0.05)
    print(f"{kind}: {wrong} wrong, {unclear} unclear, median {np.median([n for _, n in found]):.0f}, bound {bound:.2%}")
    assert bound <= DECLARED
    assert unclear <= REPLAYS // 20, "a test that never decides errs never, and serves nobody"


def test_a_canary_that_is_down_is_turned_back_after_a_few_answers() -> None:
    finding, samples = ends([FAILED] * 50)
    assert finding is Finding.BAD
    assert samples <= 5


def test_few_answers_are_inconclusive_whatever_they_say() -> None:
    assert ends([])[0] is Finding.UNCLEAR
    assert ends([FINE] * 20)[0] is Finding.UNCLEAR


def test_a_canary_whose_labels_are_unknown_is_never_found_good() -> None:
    assert ends([UNKNOWN] * 5000)[0] is Finding.UNCLEAR


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_sample_out_of_bounds_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not within"):
        Sequential(Measure("share", 0.1, 0.2), 0.05, 0.05).observe(value)


def test_a_measure_without_room_between_good_and_bad_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold"):
        Measure("share", 0.2, 0.2)


def test_of_no_findings_nothing_is_found() -> None:
    assert together([]) is Finding.UNCLEAR


def judged(*sent: Answer) -> Callable[[int], Analysis]:
    def judge(_: int) -> Analysis:
        analysis = Analysis(SLOW_S)
        for one in sent * 2000:
            analysis.observe(one)
        return analysis

    return judge


def test_a_good_canary_gets_every_step_in_order() -> None:
    shifts: list[int] = []
    ended = promote(shifts.append, judged(FINE))
    assert (ended.finding, tuple(shifts)) == (Finding.GOOD, STEPS)


@pytest.mark.parametrize(("answer", "finding"), [(FAILED, Finding.BAD), (UNKNOWN, Finding.UNCLEAR)])
def test_a_canary_that_is_not_found_good_is_turned_back_at_its_first_step(answer: Answer, finding: Finding) -> None:
    shifts: list[int] = []
    ended = promote(shifts.append, judged(answer))
    assert (ended.finding, shifts) == (finding, [1, 0])
    assert "error ratio" in ended.reason


def test_users_are_brought_back_where_the_analysis_breaks() -> None:
    shifts: list[int] = []

    def broken(_: int) -> Analysis:
        raise OSError("Prometheus is gone")

    with pytest.raises(OSError, match="gone"):
        promote(shifts.append, broken)
    assert shifts == [1, 0]


@pytest.fixture
def route() -> dict[str, Any]:
    """The route as it ships, with the canary's component over it."""
    shipped: dict[str, Any] = yaml.safe_load((ROOT / "manifests/base/routing/httproute.yaml").read_text())
    for change in yaml.safe_load((ROOT / "manifests/components/canary/route.yaml").read_text()):
        if change["op"] == "add":
            shipped["spec"]["rules"].append(change["value"])
        else:
            shipped["spec"]["rules"][int(change["path"].split("/")[3])]["backendRefs"] = change["value"]
    return shipped


@pytest.mark.parametrize("share", [0, *STEPS])
def test_a_share_is_set_for_rest_and_grpc_alike_and_not_for_testers(route: dict[str, Any], share: int) -> None:
    replaced = {p["path"]: p["value"] for p in split_patch(route, *NAMES, share) if p["op"] == "replace"}
    assert list(replaced) == ["/spec/rules/0/backendRefs", "/spec/rules/1/backendRefs"]
    for value, port in zip(replaced.values(), (8501, 8500), strict=True):
        wanted = [(NAMES[0], port, 100 - share), (NAMES[1], port, share)]
        assert [(r["name"], r["port"], r["weight"]) for r in value] == wanted


def test_a_share_on_a_route_that_does_not_split_is_refused(route: dict[str, Any]) -> None:
    with pytest.raises(Failed, match="no rule splits"):
        split_patch(route, "tensorflow-serving", "another", 10)


@pytest.mark.parametrize("share", [-1, 101])
def test_a_share_that_is_no_percentage_is_refused(route: dict[str, Any], share: int) -> None:
    with pytest.raises(ValueError, match="no percentage"):
        split_patch(route, *NAMES, share)


def test_what_is_unclear_stays_so_when_time_is_up() -> None:
    done = analyse(iter([FINE] * 5000), Analysis(SLOW_S), within=0.0)
    assert (done.finding, done.samples) == (Finding.UNCLEAR, 1)


ASKED = "/v1/models/digits:predict"


def test_the_route_as_it_ships_gives_the_canary_its_testers_and_nobody_else(route: dict[str, Any]) -> None:
    require_testers(route, NAMES[1], ASKED, [("X-Canary", "1")])
    assert share_of(route, *NAMES) == 0


def test_the_share_that_counts_is_the_largest_one_that_a_rule_gives(route: dict[str, Any]) -> None:
    route["spec"]["rules"][1]["backendRefs"] = [{"name": NAMES[0], "weight": 999}, {"name": NAMES[1]}]
    assert share_of(route, *NAMES) == 1


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [("x-canary", "2", ASKED), ("x-tester", "1", ASKED), ("x-canary", "1", "/v2/models"), ("x-canary", "1", "/v1x")],
)
def test_testers_whom_no_rule_leads_to_the_canary_are_none(
    route: dict[str, Any], name: str, value: str, path: str
) -> None:
    with pytest.raises(Failed, match=f"no rule leads {name}: {value} at {path}"):
        require_testers(route, NAMES[1], path, [(name, value)])


@pytest.mark.parametrize("change", ["value", "method", "type", "backend", "kept-for-grpc"])
def test_a_testers_rule_that_is_wrong_in_one_thing_leads_nobody_to_the_canary(
    route: dict[str, Any], change: str
) -> None:
    rule = route["spec"]["rules"][2]
    match = rule["matches"][0]
    match["headers"][0] |= {"value": {"value": "true"}, "type": {"type": "RegularExpression"}}.get(change, {})
    match |= {"method": {"method": "GET"}}.get(change, {})
    if change == "backend":
        rule["backendRefs"] = [{"name": NAMES[0]}]
    if change == "kept-for-grpc":
        del route["spec"]["rules"][2]
    with pytest.raises(Failed, match="no rule leads x-canary: 1"):
        require_testers(route, NAMES[1], ASKED, [("x-canary", "1")])


@pytest.mark.parametrize("path", ["/v1", ASKED, "/v1/models"])
def test_a_rule_that_goes_before_the_testers_leads_them_where_users_go(route: dict[str, Any], path: str) -> None:
    """The Gateway API follows the longest path before it counts headers."""
    users, testers = route["spec"]["rules"][0], route["spec"]["rules"][2]
    longest = max(len(match["path"]["value"]) for match in testers["matches"])
    users["matches"] = [{"path": {"type": "PathPrefix", "value": path}}]
    if len(path) <= longest:
        require_testers(route, NAMES[1], ASKED, [("x-canary", "1")])
        return
    with pytest.raises(Failed, match="no rule leads x-canary: 1"):
        require_testers(route, NAMES[1], ASKED, [("x-canary", "1")])


def test_a_testers_rule_that_asks_for_a_query_leads_nobody_there(route: dict[str, Any]) -> None:
    for match in route["spec"]["rules"][2]["matches"]:
        match["queryParams"] = [{"name": "a", "value": "b"}]
    with pytest.raises(Failed, match="no rule leads x-canary: 1"):
        require_testers(route, NAMES[1], ASKED, [("x-canary", "1")])


COUNTER = "traefik_service_requests_total"
COUNTED = {
    ("200", "web-0-x1-svc-a-serving-0"): 90,
    ("200", "web-0-x1-svc-a-serving-canary-1"): 9,
    ("503", "web-1-x2-svc-a-serving-canary-1"): 1,
    ("200", "web-0-x3-svc-b-serving-0"): 7,  # of another namespace
}
PAGE = f"# TYPE {COUNTER} counter\n" + "".join(
    f'{COUNTER}{{code="{code}",service="httproute-a-r-gw-g-m-ep-{service}@kubernetesgateway"}} {count}\n'
    for (code, service), count in COUNTED.items()
)


def test_the_gateways_count_tells_a_service_from_one_whose_name_begins_alike() -> None:
    assert attempts(PAGE, "a", ("serving", "serving-canary")) == {"serving": 90, "serving-canary": 10}


@pytest.mark.parametrize("hits", [48, 70])
def test_a_share_within_what_chance_allows_is_its_weight(hits: int) -> None:
    assert f"{hits} of 500" in require_split(hits, 500, 10, 1e-3)


@pytest.mark.parametrize("hits", [0, 100, 250, 500])
def test_another_share_than_the_weight_is_refused(hits: int) -> None:
    with pytest.raises(Failed, match="not the 10 %"):
        require_split(hits, 500, 10, 1e-3)
