"""A canary's share of the traffic, what is found of it, and its promotion or its way back."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from shakedown.attended import undisturbed
from shakedown.cluster import Cluster
from shakedown.ledger import now
from shakedown.replay import Answer
from shakedown.sequential import Finding, Measure, Sequential, together
from shakedown.stats import binomial_interval
from shakedown.verdict import Failed
from shakedown.wait import NotYet, eventually

STEPS = (1, 10, 50, 100)  # percent: ten times the users only after a finding over the fewer
ERRORS = Measure("error ratio", good=0.001, bad=0.02)
SLOW = Measure("share of slow answers", good=0.01, bad=0.05)  # of p99: 1 % may be slower than the limit
DRIFT = Measure("drift of the best score", good=0.1, bad=0.2)  # a canary may be as much more or less sure of itself
# McNemar's pairs: +1 where only the stable version is right, -1 where only the canary is; 2 points less are bad
LOSS = Measure("accuracy lost", good=0.0, bad=0.02, low=-1.0)


class Analysis:
    """The sequential tests over a canary's answers; the error rates hold for all of them together.

    `alpha` bounds the share of good canaries that are turned back, `beta` that of bad ones that are let through.
    `slow_s` is the limit in seconds that 99 of 100 answers keep.
    """

    def __init__(self, slow_s: float, alpha: float = 0.05, beta: float = 0.05) -> None:
        # Any one test turns a good canary back, so each gets its part of alpha; all must let a bad one through.
        share = alpha / 4
        self.slow_s = slow_s
        measures = (ERRORS, SLOW, LOSS, DRIFT)
        self.errors, self.slow, self.loss, self.drift = (Sequential(each, share, beta) for each in measures)

    @property
    def tests(self) -> tuple[Sequential, ...]:
        """Errors, slowness, accuracy, drift."""
        return self.errors, self.slow, self.loss, self.drift

    @property
    def finding(self) -> Finding:
        """What is found so far: bad at the first bad measure, good only when every measure is."""
        return together([test.finding for test in self.tests])

    def observe(self, answer: Answer) -> Finding:
        """Take one answer; a failed one is an error and slow, whatever time it took."""
        self.errors.observe(float(answer.failed))
        self.slow.observe(float(answer.failed or answer.seconds > self.slow_s))
        if answer.right is not None and answer.stable_right is not None:
            self.loss.observe(float(answer.stable_right) - float(answer.right))
        if answer.drift is not None:
            self.drift.observe(answer.drift)
        return self.finding

    @property
    def samples(self) -> int:
        """Answers taken so far."""
        return self.errors.samples

    def __str__(self) -> str:
        return "; ".join(map(str, self.tests))


def analyse(answers: Iterable[Answer], analysis: Analysis, within: float) -> Analysis:
    """Take answers until they say good or bad, for `within` seconds at the most; what is unclear then stays so."""
    until = now() + within
    for answer in answers:
        if analysis.observe(answer) is not Finding.UNCLEAR or now() >= until:
            break
    return analysis


@dataclass(frozen=True)
class Ended:
    """How a promotion ended: the finding, the share in percent that it was made at, and why."""

    finding: Finding
    share: int
    reason: str


def promote(shift: Callable[[int], None], judge: Callable[[int], Analysis], steps: Sequence[int] = STEPS) -> Ended:
    """Give the canary one share after another while each is found good; else all users back to the stable version.

    `shift` sets the share in percent, `judge` gives back the analysis made at it. An unclear canary is turned back
    too, and said to be unclear; so is one whose analysis itself breaks, and the error is raised on. Raises ValueError
    without steps.
    """
    if not steps:
        raise ValueError("a promotion without steps promotes nobody")
    try:
        for share in steps:
            shift(share)
            analysis = judge(share)
            if analysis.finding is not Finding.GOOD:
                with undisturbed():
                    shift(0)
                return Ended(analysis.finding, share, str(analysis))
    except BaseException:
        with undisturbed():
            shift(0)
        raise
    return Ended(Finding.GOOD, steps[-1], str(analysis))


def split_patch(route: Mapping[str, Any], stable: str, canary: str, share: int) -> list[dict[str, Any]]:
    """The JSON patch that gives the canary `share` percent wherever an HTTPRoute splits between these two Services.

    Rules that lead to one of them alone, as the testers' do, stay. Raises Failed where no rule splits, ValueError for a
    share that is no percentage.
    """
    if not 0 <= share <= 100:
        raise ValueError(f"a share of {share} is no percentage")
    weights, split = {stable: 100 - share, canary: share}, splits(route, stable, canary)
    patch: list[dict[str, Any]] = []
    for number, rule in enumerate(route["spec"]["rules"]):
        if rule in split:
            references = rule["backendRefs"]
            changed = [{**r, "weight": weights[r["name"]]} for r in references]
            path = f"/spec/rules/{number}/backendRefs"
            # refused, not overwritten, where somebody else has changed the rule in between
            patch += [{"op": "test", "path": path, "value": references}]
            patch += [{"op": "replace", "path": path, "value": changed}]
    return patch


def share_of(route: Mapping[str, Any], stable: str, canary: str) -> int:
    """The most that an HTTPRoute gives the canary, in percent, of the rules that split between these two Services.

    Raises Failed where no rule splits.
    """
    shares = []
    for rule in splits(route, stable, canary):
        weights = {each["name"]: int(each.get("weight", 1)) for each in rule["backendRefs"]}
        shares.append(100 * weights[canary] / max(1, sum(weights.values())))
    return ceil(max(shares))


def require_testers(route: Mapping[str, Any], canary: str, path: str, headers: Sequence[tuple[str, str]]) -> None:
    """Raise Failed unless an HTTPRoute leads a POST to `path` with these headers to the canary alone.

    Otherwise the stable version would be judged in its place, and found good. Of several matches that take a request
    the Gateway API follows the one with the longest path, then with a method, then with most headers, then the first.
    """
    given = {(name.lower(), value) for name, value in headers}
    nothing: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    taking = [
        (rule, match)
        for rule in route["spec"]["rules"]
        for match in rule.get("matches") or [{}]
        if takes(match, path, given)
    ]
    rule, match = max(taking, key=lambda each: precedence(each[1]), default=nothing)
    alone = {each["name"] for each in rule.get("backendRefs", [])} == {canary}
    if not alone or not given or wanted(match) != given:
        asked = ", ".join(f"{name}: {value}" for name, value in headers) or "no header"
        name = route["metadata"]["name"]
        raise Failed(f"HTTPRoute {name}: no rule leads {asked} at {path} to {canary} alone; see components/canary")


def wanted(match: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The headers that one match of an HTTPRoute asks for: (name in small letters, value)."""
    return {(each["name"].lower(), each["value"]) for each in match.get("headers", [])}


def takes(match: Mapping[str, Any], path: str, headers: set[tuple[str, str]]) -> bool:
    """Whether one match of an HTTPRoute takes a POST to a path with these headers and without a query."""
    asked = {"type": "PathPrefix", "value": "/", **match.get("path", {})}
    whole, start = path == asked["value"], path.startswith(f"{asked['value'].rstrip('/')}/")
    fits = whole or (start and asked["type"] == "PathPrefix")
    exact = all(each.get("type", "Exact") == "Exact" for each in match.get("headers", []))
    simple = match.get("method", "POST") == "POST" and not match.get("queryParams")
    return fits and exact and simple and wanted(match) <= headers


def precedence(match: Mapping[str, Any]) -> tuple[bool, int, bool, int]:
    """What decides between matches that take the same request, by the Gateway API; the largest goes first."""
    asked = {"type": "PathPrefix", "value": "/", **match.get("path", {})}
    return asked["type"] == "Exact", len(asked["value"]), "method" in match, len(match.get("headers", []))


def splits(route: Mapping[str, Any], stable: str, canary: str) -> list[dict[str, Any]]:
    """The rules of an HTTPRoute that split between these two Services. Raises Failed where none does."""
    found = [
        rule
        for rule in route["spec"]["rules"]
        if {each["name"] for each in rule.get("backendRefs", [])} == {stable, canary}
    ]
    if not found:
        name = route["metadata"]["name"]
        raise Failed(f"HTTPRoute {name}: no rule splits between {stable} and {canary}; apply components/canary")
    return found


def set_share(cluster: Cluster, namespace: str, route: str, services: tuple[str, str], share: int) -> None:
    """Give the canary `share` percent; `services` are the stable and the canary's. REST and gRPC change together.

    The gateway takes it up a moment later. Raises Failed where no rule splits, CommandFailed where the API server
    refuses.
    """
    seen = cluster.get(route_path(namespace, route))
    patch = json.dumps(split_patch(seen, *services, share))
    cluster.kubectl("patch", f"--namespace={namespace}", f"httproute/{route}", "--type=json", f"--patch={patch}")


def route_path(namespace: str, route: str) -> str:
    """Where the API server keeps an HTTPRoute."""
    return f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{route}"


def taken_up(cluster: Cluster, namespace: str, route: str) -> None:
    """Raise NotYet unless the gateway says that it has read a route as it is now, and can follow it."""
    seen = cluster.get(route_path(namespace, route))
    parents = seen.get("status", {}).get("parents", [])
    said = [condition for parent in parents for condition in parent["conditions"]]
    late = [c for c in said if c.get("observedGeneration", 0) < seen["metadata"]["generation"]]
    bad = [f"{c['type']}: {c['reason']}: {c['message']}" for c in said if c["status"] != "True"]
    if late or bad or not said:
        raise NotYet("; ".join(bad) or "the gateway has not read its latest change")


def await_taken_up(cluster: Cluster, namespace: str, route: str, within: float) -> None:
    """Wait until the gateway says that it has read a route as it is now, and can follow it."""
    eventually(
        lambda: taken_up(cluster, namespace, route), within=within, awaited=f"the gateway takes HTTPRoute {route} up"
    )


def attempts(page: str, namespace: str, services: Sequence[str]) -> dict[str, float]:
    """How many requests a gateway has sent to each Service, by its page of metrics; each retry counts."""
    families = text_string_to_metric_families(page)
    samples = [s for family in families for s in family.samples if s.name == "traefik_service_requests_total"]
    return {
        name: sum(s.value for s in samples if re.search(rf"-svc-{namespace}-{name}-\d+@", s.labels["service"]))
        for name in services
    }


def require_split(hits: int, samples: int, share: int, alpha: float) -> str:
    """The canary's part of the requests in words. Raises Failed where it is not `share` percent.

    By the exact interval, wrong in at most `alpha` of all cases where each request falls by chance; a gateway that
    deals them out in turn keeps closer to the share. Raises Inconclusive without requests.
    """
    interval = binomial_interval(hits, samples, alpha)
    told = f"{hits} of {samples} requests reached the canary, {interval} at an error rate of {alpha:g}"
    if share / 100 not in interval:
        raise Failed(f"{told}: not the {share} % that the route's weights say")
    return told
