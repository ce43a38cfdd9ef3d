import re
from collections.abc import Iterable, Iterator
from itertools import chain

import yaml

from shakedown.lint.objects import Obj, Tree, dig, tree, trees
from shakedown.lint.quantity import seconds
from shakedown.lint.reach import Pod
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.rules.alerts import alerts
from shakedown.lint.scrape import operated_pods
from shakedown.lint.urls import obstacles
from shakedown.lint.world import World

FILE = "alertmanager.yaml"
FIELD = f"stringData[{FILE}]"
MATCHER = re.compile(r'\s*"?(\w+)"?\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*')
# seconds: the most that makes sense of each wait
LONGEST = {"group_wait": 300.0, "group_interval": 1800.0, "repeat_interval": 7 * 86400.0}


def configured(world: World) -> Iterable[Obj]:
    """Alertmanagers that are configured with a Secret that is rendered in clear text."""
    return (a for a in world.of("Alertmanager") if config_of(a, world))


def config_of(alertmanager: Obj, world: World) -> Tree:
    """The configuration; empty where it can't be read."""
    name = alertmanager.spec.get("configSecret") or f"alertmanager-{alertmanager.name}"
    secret = world.find("Secret", alertmanager.namespace, name)
    try:
        return tree(yaml.safe_load(str(dig(secret.data, "stringData", FILE) or ""))) if secret else {}
    except yaml.YAMLError:
        return {}


def routes(route: Tree) -> Iterator[Tree]:
    """A route and all below it."""
    yield route
    for each in trees(route.get("routes")):
        yield from routes(each)


@rule(
    "alertmanager-is-configured",
    kinds("Alertmanager"),
    why="without a configuration the operator gives it one that tells nobody",
)
def _alertmanager_is_configured(obj: Obj, world: World) -> Problems:
    config = config_of(obj, world)
    if not config and not obj.spec.get("alertmanagerConfiguration"):
        yield Problem("spec.configSecret", f"no rendered Secret holds a readable {FILE}", "name the Secret that does")
    if config and not dig(config, "route", "receiver"):
        yield Problem(FIELD, "the route names no receiver", "name one")


@rule(
    "routes-find-receivers", configured, why="Alertmanager refuses a route to nobody, and keeps its old configuration"
)
def _routes_find_receivers(obj: Obj, world: World) -> Problems:
    config = config_of(obj, world)
    there = {str(r.get("name")) for r in trees(config.get("receivers"))}
    used = {str(r["receiver"]) for r in routes(tree(config.get("route"))) if "receiver" in r}
    for name in sorted(used - there):
        yield Problem(FIELD, f"routes to {name!r}, and there are {sorted(there)}", "name a receiver")
    for name in sorted(there - used):
        yield Problem(FIELD, f"no route leads to the receiver {name!r}", "route to it, or drop it")
    for each in trees(config.get("receivers")):
        if not any(trees(value) for key, value in each.items() if key.endswith("_configs")):
            yield Problem(FIELD, f"the receiver {each.get('name')!r} tells nobody", "give it a webhook or the like")


@rule("receivers-get-what-is-sent", configured, why="an alert that is sent where nobody listens wakes nobody")
def _receivers_get_what_is_sent(obj: Obj, world: World) -> Problems:
    own = next(pod for instance, pod in operated_pods(world) if instance is obj)
    for each in trees(config_of(obj, world).get("receivers")):
        for hook in trees(each.get("webhook_configs")):
            yield from _hook_problems(str(each.get("name")), hook, own, world)


def _hook_problems(name: str, hook: Tree, own: Pod, world: World) -> Problems:
    if not re.match(r"https?://[^/\s]+", str(hook.get("url", ""))) and not hook.get("url_file"):
        yield Problem(FIELD, f"the webhook of {name!r} has no URL: {hook.get('url')!r}", "give it one")
    for says, mend in obstacles(str(hook.get("url", "")), own, world):
        yield Problem(FIELD, f"the webhook of {name!r} {says}", mend)
    if hook.get("send_resolved") is False:
        yield Problem(FIELD, f"{name!r} is not told that it is over", "set send_resolved: true")


@rule("alerts-are-told-in-time", configured, why="an alert that waits for an hour to be grouped comes too late")
def _alerts_are_told_in_time(obj: Obj, world: World) -> Problems:
    for each in routes(tree(config_of(obj, world).get("route"))):
        for name, most in LONGEST.items():
            wait = seconds(each.get(name, "0s"))
            if wait is None or wait > most:
                yield Problem(FIELD, f"{name} is {each.get(name)}", f"use {most:.0f}s at the most")


@rule(
    "matchers-match-alerts",
    lambda world: configured(world) if any(True for _ in alerts(world)) else (),
    why="a route or an inhibition for an alert that is nowhere defined does nothing, without a word",
)
def _matchers_match_alerts(obj: Obj, world: World) -> Problems:
    known = [{"alertname": e.name, **tree(e.data.get("labels"))} for e in alerts(world)]
    config = config_of(obj, world)
    sets = [r.get("matchers") or [] for r in routes(tree(config.get("route")))]
    sets += [
        i.get(f"{side}_matchers") or [] for i in trees(config.get("inhibit_rules")) for side in ("source", "target")
    ]
    for given in (s for s in sets if s):
        parsed = [m for text in given if (m := MATCHER.fullmatch(str(text)))]
        if len(parsed) != len(given):
            yield Problem(FIELD, f"{given} holds what is no matcher", "write label = value")
        elif not any(all(_fits(m, labels) for m in parsed) for labels in known):
            yield Problem(FIELD, f"{given} matches none of the alerts", "name labels that one has")
    yield from _inhibition_problems(config, set(chain.from_iterable(known)))


def _fits(matcher: "re.Match[str]", labels: Tree) -> bool:
    name, operator, value = matcher[1], matcher[2], matcher[3]
    if name not in labels and name not in {"alertname", "severity"}:
        return True  # a label that the series brings
    own = str(labels.get(name, ""))
    same = re.fullmatch(value, own) is not None if "~" in operator else own == value
    return same is not operator.startswith("!")


def _inhibition_problems(config: Tree, labels: set[str]) -> Problems:
    for each in trees(config.get("inhibit_rules")):
        if not each.get("source_matchers") or not each.get("target_matchers"):
            yield Problem(FIELD, "an inhibition without source or target silences everything", "name both")
        elif not each.get("equal"):
            yield Problem(FIELD, "an inhibition without `equal` reaches over all namespaces", "name a shared label")
        for name in each.get("equal") or []:
            if name not in labels | {"namespace"}:
                yield Problem(FIELD, f"an inhibition asks for equal {name!r}, which no alert carries", "name a label")
