"""A canary's promotion for a pipeline: at its end either all users are the canary's, or none is.

The stable version is asked for its answers to recorded requests, then the canary gets one share of the users after
another while testers' requests find it good. Whatever else becomes of it, a signal included, all users go back at once.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import requests
from kubernetes.client import ApiException
from numpy.typing import NDArray

from shakedown import check
from shakedown.attended import undisturbed
from shakedown.canary import (
    LOSS,
    STEPS,
    Analysis,
    analyse,
    promote,
    require_testers,
    route_path,
    set_share,
    share_of,
    split_patch,
    taken_up,
)
from shakedown.cluster import Cluster
from shakedown.cluster.access import CommandFailed
from shakedown.ledger import Ledger, now
from shakedown.oracle import Floats
from shakedown.progress import plain
from shakedown.release import Refused, Tell, reached, told
from shakedown.replay import Answer, Recording, Replay, record_stable
from shakedown.sequential import Finding
from shakedown.serving import Endpoint
from shakedown.stats import plan_mcnemar
from shakedown.verdict import Failed
from shakedown.wait import SHOW_AFTER_S, NotYet, Waiting, Watch, eventually

LEAST_RIGHT = 0.5  # of the stable answers: by labels of something else both versions are as wrong as each other


class Outcome(IntEnum):
    """What a promotion came to, which is its exit code; 0, 1 and 6 mean what the gate's mean."""

    DONE = 0  # all users are where they were ordered to go
    BAD = 1  # found bad, and all users are back
    UNCHANGED = 3  # nobody was given to the canary
    NOT_BACK = 4  # users may be the canary's still: somebody must look at once
    UNKNOWN = 6  # nobody knows whether it is good, and all users are back


@dataclass(frozen=True)
class Place:
    """Where users are shared out: an HTTPRoute, and the Services that it splits between.

    `patience` is how long each change of a share may take until the gateway has read it, in seconds.
    """

    namespace: str
    route: str
    stable: str
    canary: str
    patience: float = 120.0

    @property
    def name(self) -> str:
        """The route, as messages name it."""
        return f"HTTPRoute {self.namespace}/{self.route}"

    @property
    def services(self) -> tuple[str, str]:
        """The stable Service and the canary's."""
        return self.stable, self.canary


@dataclass(frozen=True)
class Order:
    """What is promoted, and by which verdicts.

    `door` is where users come in; `headers` make a request a tester's. `images` (n, features) and `labels` (n) are the
    recorded requests. `version` is the one that the canary must serve, 0 whichever. `alpha` bounds the share of good
    canaries that are turned back, `beta` that of bad ones that are let through, over all steps together. 99 of 100
    answers must come within `slow_s`; testers send `rate` requests a second, for `within` at the most at each step.
    """

    place: Place
    door: Endpoint
    model: str
    headers: tuple[tuple[str, str], ...]
    images: Floats
    labels: NDArray[np.int64]
    version: int = 0
    steps: tuple[int, ...] = STEPS
    slow_s: float = 0.5
    rate: float = 50.0
    within: float = 120.0
    alpha: float = 0.05
    beta: float = 0.05

    @property
    def testers(self) -> Endpoint:
        """The front door as testers ask there."""
        return replace(self.door, headers=self.headers)


@dataclass
class Shares:
    """The shares that a promotion sets; `last` is the latest that the gateway has read, -1 while one is on its way."""

    cluster: Cluster
    place: Place
    ledger: Ledger
    tell: Tell
    last: int = 0

    def shift(self, share: int) -> None:
        """Give the canary a share in percent. Raises Failed where it can't be."""
        self.last = -1
        give(self.cluster, self.place, share)
        self.last = share
        self.ledger.record("canary", step="share", share=share)
        self.tell("share", f"{share} % of the users are the canary's")

    def broken_off(self) -> Outcome:
        """Where users are after a promotion that was not judged to its end."""
        if self.last != 0:
            self.tell("NOT BACK", f"do it by hand: {by_hand(self.cluster, self.place)}")
            return Outcome.NOT_BACK
        self.tell("back", f"all users are {self.place.stable}'s again; the canary was not judged to the end")
        return Outcome.UNKNOWN


def promotion(cluster: Cluster, order: Order, ledger: Ledger, tell: Tell) -> Outcome:
    """Promote a canary, or turn it back. Raises nothing: whatever goes wrong is told, and comes out as an outcome."""
    place, shares = order.place, Shares(cluster, order.place, ledger, tell)
    try:
        recording = prepared(cluster, order, tell)
    except BaseException as error:  # noqa: BLE001 - a signal too: nobody has met the canary, and that is to be said
        tell("FAILED", in_words(error))
        tell("unchanged", f"nobody was given to {place.canary} at {place.name}")
        return Outcome.UNCHANGED

    def judge(share: int) -> Analysis:
        analysis = judged(order, recording, share, ledger, tell)
        if analysis.finding is Finding.GOOD:
            eventually(lambda: reached(lambda: require_share(cluster, place, share)), within=place.patience)
        return analysis

    try:
        ended = promote(shares.shift, judge, order.steps)
    except BaseException as error:  # noqa: BLE001 - whatever ended it, users go back
        with undisturbed():
            tell("FAILED", in_words(error))
            return shares.broken_off()
    if ended.finding is Finding.GOOD:
        tell("promoted", f"{place.canary} was found good at {', '.join(f'{share} %' for share in order.steps)}")
        return Outcome.DONE
    tell("back", f"all users are {place.stable}'s again; the canary is {ended.finding} at {ended.share} %")
    return Outcome.BAD if ended.finding is Finding.BAD else Outcome.UNKNOWN


def turn_back(cluster: Cluster, place: Place, tell: Tell) -> Outcome:
    """Give all users back to the stable version, whatever the share is. Raises nothing."""
    try:
        eventually(lambda: reached(lambda: route_of(cluster, place)), within=place.patience, awaited=place.name)
        give(cluster, place, 0)
    except BaseException as error:  # noqa: BLE001 - a signal too: whoever reads the log must know
        tell("FAILED", in_words(error))
        tell("NOT BACK", f"do it by hand: {by_hand(cluster, place)}")
        return Outcome.NOT_BACK
    tell("back", f"all users are {place.stable}'s")
    return Outcome.DONE


def prepared(cluster: Cluster, order: Order, tell: Tell) -> Recording:
    """Look before the leap, and record what the stable version answers. Raises Refused, Failed, or what a client does.

    The way back is gone once before the first user goes there: who may not take a share away gives none.
    """
    place, needed = order.place, plan_mcnemar(LOSS.bad, LOSS.good, order.alpha, order.beta)
    if len(order.images) < needed:
        raise Refused(
            f"{len(order.images)} recorded requests can't show {100 * LOSS.bad:g} points less accuracy at error rates"
            f" of {order.alpha:g} and {order.beta:g}; {needed} can"
        )
    route = route_of(cluster, place)
    if share := share_of(route, *place.services):
        raise Refused(f"{place.name} gives {place.canary} {share} % already; begin at 0: `turn-back` takes it away")
    require_host(route, order.door)
    require_testers(route, place.canary, f"/v1/models/{order.model}:predict", order.headers)
    give(cluster, place, 0)
    states = order.testers.status(order.model)
    check.state(states)
    served = check.version(states, order.version)
    recording = record_stable(order.door, order.model, order.images, order.labels)
    right = float((recording.stable.argmax(axis=1) == recording.labels).mean())
    if right < LEAST_RIGHT:
        raise Refused(f"the stable version is right in {right:.2%} of the recorded requests: whose labels are they?")
    tell("recorded", f"{len(recording.labels)} answers of the stable version, {right:.2%} right; canary: {served}")
    return recording


def route_of(cluster: Cluster, place: Place) -> dict[str, Any]:
    """The route as it is. Raises Refused where there is none."""
    try:
        return cluster.get(route_path(place.namespace, place.route))
    except ApiException as error:
        if error.status != requests.codes.not_found:
            raise
        raise Refused(f"there is no {place.name}; see --namespace and --route") from error


def require_share(cluster: Cluster, place: Place, share: int) -> None:
    """The route still gives the canary its share. Raises Failed where it doesn't: users didn't meet what was judged."""
    if (given := share_of(route_of(cluster, place), *place.services)) != share:
        raise Failed(
            f"{place.name} was changed by somebody else meanwhile: it gives {place.canary} {given} %, not {share}"
        )


def require_host(route: Mapping[str, Any], door: Endpoint) -> None:
    """Raise Refused where a route is not for the host that is asked: somebody else's canary would be judged."""
    host, known = door.host or urlsplit(door.rest).hostname or "", route["spec"].get("hostnames", [])
    if known and not any(fnmatchcase(host, pattern) for pattern in known):
        name = route["metadata"]["name"]
        raise Refused(f"HTTPRoute {name} is for {', '.join(known)}, and {host} is asked; name its host with --host")


def give(cluster: Cluster, place: Place, share: int) -> None:
    """Give the canary a share in percent, and wait until the gateway has read it. Raises Failed where it can't be."""

    def given() -> None:
        try:
            reached(lambda: set_share(cluster, place.namespace, place.route, place.services, share))
        except CommandFailed as refused:
            if "(Forbidden)" in refused.stderr:  # no waiting cures that
                raise
            raise NotYet(plain(refused.stderr)) from refused

    eventually(given, within=place.patience, awaited=f"{place.name} gives {place.canary} {share} %")
    eventually(
        lambda: reached(lambda: taken_up(cluster, place.namespace, place.route)),
        within=place.patience,
        awaited=f"the gateway takes {place.name} up",
    )


def judged(order: Order, recording: Recording, share: int, ledger: Ledger, tell: Tell) -> Analysis:
    """Send testers' requests until they say good or bad, or time is up."""
    began = now()
    replay = Replay(order.testers, order.model, recording, ledger, order.rate)
    analysis = Analysis(order.slow_s, order.alpha / len(order.steps), order.beta)
    with closing(replay.answers(secrets.randbits(32))) as answers:
        analyse(counted(answers, share, order.within), analysis, order.within)
    ledger.record("canary", step="judged", finding=analysis.finding, said=str(analysis))
    tell("judged", f"at {share} %: {analysis.finding} after {now() - began:.1f} s; {analysis}")
    return analysis


def counted(answers: Iterator[Answer], share: int, within: float) -> Iterator[Answer]:
    """The same answers, and a word now and then to whoever waits for the verdict."""
    began = now()
    for number, answer in enumerate(answers, 1):
        yield answer
        waited = now() - began
        if waited >= SHOW_AFTER_S:
            seen = f"{number} answers"
            Watch.show(Waiting(f"a verdict on the canary at {share} %", seen, waited, max(0.0, within - waited)))


def by_hand(cluster: Cluster, place: Place) -> str:
    """The command that takes the canary's share away."""
    start = f"kubectl --context={cluster.context} --namespace={place.namespace}"
    with suppress(Exception):  # the route may be what can't be read
        patch = split_patch(cluster.get(route_path(place.namespace, place.route)), *place.services, 0)
        changes = json.dumps([change for change in patch if change["op"] == "replace"])
        return f"{start} patch httproute/{place.route} --type=json --patch='{changes}'"
    return f"{start} edit httproute/{place.route}, and set {place.canary}'s weight to 0 beside {place.stable}"


def in_words(error: BaseException) -> str:
    """An error in one line, a connection's as a person would say it."""
    return plain(check.words(error)) if isinstance(error, requests.RequestException) else told(error)
