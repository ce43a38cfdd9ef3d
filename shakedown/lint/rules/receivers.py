import re
from collections.abc import Iterable, Iterator
from itertools import chain

from shakedown.lint.objects import Obj, Tree, dig, read_yaml, tree, trees
from shakedown.lint.rule import Problem, Problems, rule
from shakedown.lint.rules.alerts import alerts
from shakedown.lint.scrape import operated_pods
from shakedown.lint.urls import obstacles
from shakedown.lint.world import World

FILE = "alertmanager.yaml"
FIELD = f"stringData[{FILE}]"
CHOOSING = ("matchers", "match", "match_re", "continue")  # what leaves something for the next route
MATCHER = re.compile(r'\s*"?(\w+)"?\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*')


def configured(world: World) -> Iterable[Obj]:
    """Alertmanagers that are configured with a Secret that is rendered in clear text."""
    return (a for a in world.of("Alertmanager") if config_of(a, world))


def config_of(alertmanager: Obj, world: World) -> Tree:
    """The configuration; empty where it can't be read."""
    name = alertmanager.spec.get("configSecret") or f"alertmanager-{alertmanager.name}"
    secret = world.find("Secret", alertmanager.namespace, name)
    return read_yaml(str(dig(secret.data, "stringData", FILE) or "")) if secret else {}


def routes(route: Tree) -> Iterator[Tree]:
    """A route and all below it."""
    yield route
    for each in trees(route.get("routes")):
        yield from routes(each)


@rule("receivers-get-what-is-sent", configured, why="an alert that is sent where nobody listens wakes nobody")
def _receivers_get_what_is_sent(obj: Obj, world: World) -> Problems:
    own = next(pod for instance, pod in operated_pods(world) if instance is obj)
    config = config_of(obj, world)
    used = {r.get("receiver") for r in routes(tree(config.get("route")))}
    for each in trees(config.get("receivers")):
        if each.get("name") not in used:
            yield Problem(FIELD, f"no route leads to the receiver {each.get('name')!r}", "route to it, or drop it")
        for hook in trees(each.get("webhook_configs")):
            for says, mend in obstacles(str(hook.get("url", "")), own, world):
                yield Problem(FIELD, f"the webhook of {each.get('name')!r} {says}", mend)


@rule("routes-choose", configured, why="a route that chooses nothing takes what was meant for those behind it")
def _routes_choose(obj: Obj, world: World) -> Problems:
    config = config_of(obj, world)
    telling = {r.get("name") for r in trees(config.get("receivers")) if any(k.endswith("_configs") and r[k] for k in r)}
    for parent in routes(tree(config.get("route"))):
        below = trees(parent.get("routes"))
        for each in below[:-1]:
            if not any(each.get(key) for key in CHOOSING):
                yield Problem(FIELD, f"the route to {each.get('receiver')!r} has no matchers", "name what it takes")
        last, own = (below or [{}])[-1], parent.get("receiver")
        if below and not any(last.get(key) for key in CHOOSING) and own in telling - {last.get("receiver", own)}:
            yield Problem(FIELD, f"nothing is left for {own!r}: the last route takes all", "name what it takes")
        for each in below:
            if (
                any(map(_asks_for_critical, each.get("matchers") or []))
                and each.get("receiver", parent.get("receiver")) not in telling
            ):
                yield Problem(
                    FIELD, f"receiver {each.get('receiver')!r} of critical alerts tells nobody", "tell someone"
                )


def _asks_for_critical(text: object) -> bool:
    matcher = MATCHER.fullmatch(str(text))
    return bool(matcher and matcher[2] in {"=", "=~"} and matcher[1] == "severity" and "critical" in matcher[3])


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
    if not isinstance(config.get("inhibit_rules", []), list):
        yield Problem(FIELD, "inhibit_rules is no list: Alertmanager refuses the file", "begin each with a dash")
    for each in trees(config.get("inhibit_rules")):
        if not each.get("source_matchers") or not each.get("target_matchers"):
            yield Problem(FIELD, "an inhibition without source or target silences everything", "name both")
        elif not each.get("equal"):
            yield Problem(FIELD, "an inhibition without `equal` reaches over all namespaces", "name a shared label")
        for name in each.get("equal") or []:
            if name not in labels | {"namespace"}:
                yield Problem(FIELD, f"an inhibition asks for equal {name!r}, which no alert carries", "name a label")
