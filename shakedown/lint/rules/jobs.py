from shakedown.lint.objects import Obj, dig, tree
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.world import World


@rule(
    "job-is-bounded",
    kinds("Job", "CronJob"),
    why="a Job without bounds retries for hours, or leaves a deployment waiting for ever",
)
def _job_is_bounded(obj: Obj, _world: World) -> Problems:
    spec = tree(dig(obj.spec, "jobTemplate", "spec")) if obj.kind == "CronJob" else obj.spec
    limit, deadline = spec.get("backoffLimit", 6), spec.get("activeDeadlineSeconds")
    if not 0 <= limit <= 10:
        yield Problem("spec.backoffLimit", f"is {limit}", "use 0 to 10")
    if deadline is None or not 0 < deadline <= 86400:
        yield Problem("spec.activeDeadlineSeconds", f"is {deadline}", "set how long it may take, at most a day")
    if spec.get("suspend"):
        yield Problem("spec.suspend", "never starts", "drop it")
    for name in ("completions", "parallelism"):
        if spec.get(name, 1) != 1:
            yield Problem(f"spec.{name}", f"is {spec[name]}: the same files are written by several pods", "drop it")
