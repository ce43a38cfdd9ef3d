from collections.abc import Iterator

from shakedown.lint.rule import RULES, Judgement
from shakedown.lint.rules import (
    alerts,
    autoscaling,
    availability,
    bounds,
    canary,
    controllers,
    instances,
    jobs,
    monitoring,
    network,
    options,
    paths,
    probers,
    receivers,
    references,
    resources,
    routing,
    schema,
    scripts,
    security,
    series,
    serving,
    storage,
    values,
    workflow,
)
from shakedown.lint.world import World

THEMES = tuple(
    module.__name__.rpartition(".")[2]
    for module in (
        schema,
        values,
        references,
        scripts,
        storage,
        serving,
        availability,
        resources,
        bounds,
        security,
        network,
        routing,
        paths,
        canary,
        controllers,
        options,
        autoscaling,
        monitoring,
        instances,
        alerts,
        receivers,
        probers,
        series,
        jobs,
        workflow,
    )
)

SLOW = {"rules-pass-their-tests"}  # seconds, where every other rule takes milliseconds


def judge_all(world: World) -> Iterator[Judgement]:
    """Every rule on each of its subjects, theme by theme: what is refused first, promtool's unit tests last."""
    for each in sorted(RULES.values(), key=lambda rule: (rule.name in SLOW, THEMES.index(rule.theme))):
        for subject in each.subjects(world):
            yield Judgement(each, subject, tuple(each.judge(subject, world)))
