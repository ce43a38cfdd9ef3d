from collections.abc import Iterable

from shakedown.lint.objects import Obj
from shakedown.lint.options import fits, program_of
from shakedown.lint.rule import Problem, Problems, rule
from shakedown.lint.schemas import suggestion
from shakedown.lint.world import World

WORDS = {
    "truth": "neither true nor false",
    "numbers": "no list of numbers",
    "address": "no HOST:PORT",
    "addresses": "no list of kinds of address",
}


def programs(world: World) -> Iterable[Obj]:
    """Workloads that run a program whose options are known in its version."""
    return [obj for obj, w in world.workloads.items() if any(program_of(c) for c in w.all_containers)]


@rule("options-known", programs, why="a program that is given what it doesn't know ends at its start")
def _options_known(obj: Obj, world: World) -> Problems:
    running = ((each, program_of(each)) for each in world.workloads[obj].all_containers)
    for container, program in ((each, found) for each, found in running if found):
        for word in (str(each) for each in container.data.get("args") or [] if str(each).startswith("-")):
            name, given, value = word.lstrip("-").partition("=")
            kind = program.takes(name if name in program.options else name.lower())
            if kind is None:
                mend = f"drop it{suggestion(name.lower(), program.options)}"
                yield Problem(f"{container.field}.args", f"--{name} is no option of {program.image}", mend)
            elif given and not fits(kind, value):
                says = f"--{name}={value} is {WORDS.get(kind, f'no {kind}')}"
                yield Problem(f"{container.field}.args", says, f"give it one that {program.image} can read")
