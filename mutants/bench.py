"""The deployments that mutants change, rendered and judged once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from airgap.promtool import promtool
from fixtures.static import OWN, schema_folders, world_of
from mutants.catalogue import Mutant
from mutants.change import mutate
from shakedown.lint.judge import judge_all
from shakedown.lint.objects import Obj
from shakedown.lint.rule import Judgement
from shakedown.lint.world import World

# what breaks these is refused by the API server
REFUSING = {"schema-valid", "names-legal", "selector-matches-template", "containers-consistent", "service-ports-legal"}
REFUSING |= {"values-legal", "one-of-each"}


class NotGreen(Exception):
    """The baseline itself is red: no mutant can be scored; the message holds what is wrong."""


@dataclass(frozen=True)
class Bench:
    """Every deployment as it is rendered, and its world."""

    worlds: dict[str, World]

    @cached_property
    def baseline(self) -> dict[str, tuple[Judgement, ...]]:
        """The judgements of each deployment as it is."""
        return {name: tuple(judge_all(world)) for name, world in self.worlds.items()}

    def require_green(self) -> None:
        """Raise NotGreen where a deployment as it is breaks a rule."""
        broken = [f"{name}: {each}" for name, found in self.baseline.items() for each in found if each.problems]
        if broken:
            raise NotGreen("\n".join(broken))

    def judge(self, deployment: str, objects: Sequence[Obj]) -> list[Judgement]:
        """The broken promises of a deployment whose objects were changed."""
        world = World(objects, self.worlds[deployment].tools)
        return [each for each in judge_all(world) if each.problems]

    def catches(self, deployment: str, objects: Sequence[Obj]) -> bool:
        """Whether any promise of the changed deployment is broken; no further one is judged then."""
        world = World(objects, self.worlds[deployment].tools)
        return any(each.problems for each in judge_all(world))

    def mutated(self, mutant: Mutant) -> list[Obj]:
        """The deployment's objects with the mutant's changes. Raises DoesNotApply."""
        world = self.worlds[mutant.deployment]
        return mutate(world.rendered, mutant, world.tools.schemas.cluster_scoped)


def bench() -> Bench:
    """Render the project's own deployments. Raises BadInput or BuildError."""
    folders, checker = schema_folders(), promtool()
    return Bench({name: world_of(path, folders, checker) for name, path in OWN.items()})


def refusals(judgements: Iterable[Judgement]) -> list[str]:
    """What the API server would refuse."""
    return [str(each) for each in judgements if each.rule.name in REFUSING]
