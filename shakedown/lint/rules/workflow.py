import re
from collections.abc import Iterator

from shakedown.lint.objects import Obj, Tree, dig, tree, trees
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.workload import REPLICATED
from shakedown.lint.world import World

WORKFLOW = kinds("Workflow")
PIPELINE = "shakedown release"  # sets an image, waits with a deadline, and undoes what fails
INNER = re.compile(r"""--(?:build|deliver|verify)[ =](?:"[^"]*"|'[^']*'|\S+)""")  # commands within its command


def lines_of(step: Tree) -> list[str]:
    """The commands of a step, each on one line."""
    return re.sub(r"\\\n\s*", " ", str(step.get("run", ""))).splitlines()


def as_kubectl(line: str) -> str:
    """What the pipeline's command does in kubectl's words; any other line as it is."""
    if PIPELINE not in line:
        return line
    line = re.sub(r"--deployment[ =]", "deployment/", INNER.sub("", line))
    return re.sub(r"--container[ =](\S+)", r"\1=it", line).replace(PIPELINE, "kubectl set image")


def steps(obj: Obj) -> Iterator[tuple[str, Tree]]:
    """Field and step of every step of every job."""
    for job, body in tree(obj.spec.get("jobs")).items():
        for number, step in enumerate(trees(tree(body).get("steps"))):
            yield f"jobs.{job}.steps[{step.get('name', number)}]", step


@rule(
    "workflow-actions-pinned",
    WORKFLOW,
    why="an action's tag can be moved to other code, which then holds the deployment's secrets",
)
def _workflow_actions_pinned(obj: Obj, _world: World) -> Problems:
    for field, step in steps(obj):
        uses = str(step.get("uses", ""))
        if uses and not uses.startswith("./") and not re.search(r"@[0-9a-f]{40}$", uses):
            yield Problem(
                f"{field}.uses", f"{uses} is no commit", "name the commit's 40 hex digits, the version in a comment"
            )
        if not uses and "run" not in step:
            yield Problem(field, "neither uses nor runs anything", "set uses or run")


@rule(
    "workflow-rights-narrow", WORKFLOW, why="a job's token may write to the whole repository unless it says otherwise"
)
def _workflow_rights_narrow(obj: Obj, _world: World) -> Problems:
    jobs = tree(obj.spec.get("jobs"))
    if "permissions" not in obj.spec and not all("permissions" in tree(j) for j in jobs.values()):
        yield Problem("permissions", "is missing", "permissions: {contents: read}")
    if obj.spec.get("permissions") == "write-all":
        yield Problem("permissions", "grants everything", "permissions: {contents: read}")
    for name, job in jobs.items():
        if "timeout-minutes" not in tree(job):
            yield Problem(f"jobs.{name}.timeout-minutes", "is missing: a stuck job runs for six hours", "set it")
        if not tree(job).get("runs-on"):
            yield Problem(f"jobs.{name}.runs-on", "is missing", "name a runner")
    if not jobs:
        yield Problem("jobs", "is empty", "add a job")
    if "concurrency" not in obj.spec:
        yield Problem("concurrency", "is missing: two deployments at once overtake each other", "set a group")


@rule("workflow-pushes-signed-in", WORKFLOW, why="a push without a log-in is refused, and nothing is deployed")
def _workflow_pushes_signed_in(obj: Obj, _world: World) -> Problems:
    signed_in = False
    for field, step in steps(obj):
        text = f"{step.get('uses', '')} {step.get('run', '')}"
        signed_in = signed_in or "login" in text
        if ("docker push" in text or tree(step.get("with")).get("push")) and not signed_in:
            yield Problem(field, "pushes without a log-in before it", "log in to the registry first")


@rule(
    "workflow-deploys-what-is-there",
    WORKFLOW,
    why="a deployment of something that has another name fails, or changes nothing",
)
def _workflow_deploys_what_is_there(obj: Obj, world: World) -> Problems:
    for field, step in steps(obj):
        for line in lines_of(step):
            yield from (Problem(f"{field}.run", *p) for p in _line_problems(as_kubectl(line), world))


def _line_problems(line: str, world: World) -> Iterator[tuple[str, str]]:
    there = {o.name: o for o in world.of(*REPLICATED)}
    for name in re.findall(r"\bdeploy(?:ment)?s?(?:\.apps)?[/ ]([\w.-]+)", line) if "kubectl" in line else []:
        if name not in there:
            yield f"Deployment {name} is not rendered", f"use one of {sorted(there)}"
            continue
        containers = {c.name for c in world.workloads[there[name]].containers}
        for container in re.findall(r"\s([\w-]+)=\S+", line) if "set image" in line else []:
            if container not in containers:
                yield f"{name} has no container {container}", f"use one of {sorted(containers)}"
        namespace = re.search(r"(?:-n|--namespace)[ =]([\w-]+)", line)
        if namespace is None or namespace[1] != there[name].namespace:
            yield f"{name} is not looked for in {there[name].namespace}", f"add -n {there[name].namespace}"


@rule("workflow-waits-for-the-roll-out", WORKFLOW, why="a deployment that is not watched is green when it fails")
def _workflow_waits_for_the_roll_out(obj: Obj, _world: World) -> Problems:
    runs = [str(step.get("run", "")) for _, step in steps(obj)]
    lines = [line for text in runs for line in text.splitlines()]
    changes = [n for n, line in enumerate(lines) if re.search(r"kubectl.*(set image|apply)", line)]
    waits = [n for n, line in enumerate(lines) if "rollout status" in line]
    if changes and not any(w > changes[-1] for w in waits):
        yield Problem(
            "jobs", "deploys and does not wait for the roll-out", "kubectl rollout status --timeout=10m after it"
        )
    for number in waits:
        if "--timeout" not in lines[number]:
            yield Problem("jobs", "waits for the roll-out without an end", "add --timeout=10m")
    if changes and not any("rollout undo" in line for line in lines):
        yield Problem("jobs", "leaves a failed roll-out in place", "kubectl rollout undo where the wait fails")


@rule("workflow-tests-first", WORKFLOW, why="what was never judged before it is deployed is judged by users")
def _workflow_tests_first(obj: Obj, _world: World) -> Problems:
    texts = [str(step.get("run", "")) for _, step in steps(obj)]
    deploys = next((n for n, t in enumerate(texts) if "kubectl" in t or PIPELINE in t), None)
    judged = next((n for n, t in enumerate(texts) if "pytest" in t), None)
    if deploys is not None and (judged is None or judged > deploys) and not _needs_tests(obj):
        yield Problem("jobs", "deploys without judging the manifests", "run pytest suites/static --manifests before it")


def _needs_tests(obj: Obj) -> bool:
    return any(
        "pytest" in str(dig(job, "steps"))
        for job in tree(obj.spec.get("jobs")).values()
        if "kubectl" not in str(job) and PIPELINE not in str(job)
    )


@rule("workflow-deploys", WORKFLOW, why="a workflow that never starts, or deploys nothing, is green for ever")
def _workflow_deploys(obj: Obj, _world: World) -> Problems:
    triggers = obj.spec.get("on")
    if not triggers or (isinstance(triggers, dict) and "push" in triggers and not dig(triggers, "push", "branches")):
        yield Problem("on", "names no event, or no branch", "name the branch that is deployed")
    lines = [line for _, step in steps(obj) for line in str(step.get("run", "")).splitlines()]
    if not any(word in line for line in lines for word in ("kubectl apply", "set image", "helm upgrade", PIPELINE)):
        yield Problem("jobs", "no step deploys", "apply the manifests")
    for name, job in tree(obj.spec.get("jobs")).items():
        if not 0 < tree(job).get("timeout-minutes", 30) <= 120:
            yield Problem(f"jobs.{name}.timeout-minutes", f"is {tree(job)['timeout-minutes']}", "use 1 to 120")
    yield from _push_problems(obj, lines)


def _push_problems(obj: Obj, lines: list[str]) -> Problems:
    signed = [str(dig(step, "with", "registry")) for _, step in steps(obj) if "login-action" in str(step.get("uses"))]
    built = " ".join(line for line in lines if "docker build" in line or "docker tag" in line)
    for image in (found[1] for line in lines if (found := re.match(r"\s*docker push (.+?)\s*$", line))):
        if signed and image.partition("/")[0] not in signed:
            yield Problem("jobs", f"pushes {image}, signed in at {signed}", "sign in where it pushes")
        if image not in built:
            yield Problem("jobs", f"pushes {image}, which it does not build", "build and tag it before")
