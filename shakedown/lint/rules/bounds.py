from collections.abc import Iterable, Iterator
from decimal import Decimal

from shakedown.lint.objects import Obj, Tree, dig, tree, trees
from shakedown.lint.quantity import quantity
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.workload import REPLICATED, Container, Workload
from shakedown.lint.world import World

QUOTA = kinds("ResourceQuota")
BOUNDED = ("pods", "requests.cpu", "requests.memory", "limits.memory")  # what a runaway takes from its neighbours
SLACK = 10  # a quota of more than this many times the need stops nothing in time
ROOM = 4  # the same for the largest container that a limit range admits


def ranges(world: World) -> Iterable[Obj]:
    """Limit ranges that say something about containers."""
    return world.of("LimitRange")


def _peak(workload: Workload, world: World) -> int:
    """The most pods at once: all replicas, and those that a roll-out adds (25 % rounded up by default)."""
    if workload.obj.kind not in REPLICATED:
        return 1
    most = world.most(workload.obj)
    surge = dig(workload.obj.spec, "strategy", "rollingUpdate", "maxSurge") or "25%"
    if workload.obj.kind != "Deployment" or dig(workload.obj.spec, "strategy", "type") == "Recreate":
        return most
    if isinstance(surge, int):
        return most + surge
    share = str(surge).removesuffix("%")
    return most + (-(-most * int(share) // 100) if share.isdigit() else 0)


def _shown(key: str, amount: Decimal) -> str:
    return f"{amount / 2**20:.0f}Mi" if "memory" in key else f"{amount.normalize():f}"


def _given(container: Container, what: str, resource: str) -> Decimal:
    """A container's request or limit; nothing where it has none."""
    given = container.request(resource) if what == "requests" else container.limit(resource)
    return quantity(given) or Decimal(0)


def need(namespace: str, world: World) -> dict[str, Decimal]:
    """What the workloads of a namespace take at their peak, by the names that a quota uses."""
    found = {"pods": Decimal(0), "persistentvolumeclaims": Decimal(0)}
    for workload in world.workloads_in.get(namespace, []):
        peak = _peak(workload, world)
        found["pods"] += peak
        for what in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                key = f"{what}.{resource}"
                once = sum((_given(c, what, resource) for c in workload.containers), Decimal(0))
                found[key] = found.get(key, Decimal(0)) + peak * once
    found["persistentvolumeclaims"] += sum(o.namespace == namespace for o in world.of("PersistentVolumeClaim"))
    return found


@rule(
    "quota-has-room", QUOTA, why="a quota below the need stops a roll-out half way, and one far above it stops nothing"
)
def _quota_has_room(obj: Obj, world: World) -> Problems:
    hard = tree(obj.spec.get("hard"))
    needed = need(obj.namespace, world)
    for key, wanted in needed.items():
        most = SLACK * max(wanted, needed.get(key.replace("requests", "limits"), wanted))
        given = quantity(hard.get(key, hard.get(key.removeprefix("requests."))))
        if given is None and key in BOUNDED:
            yield Problem(
                f"spec.hard.{key}",
                "is missing: it is bounded by nothing",
                f"set {_shown(key, wanted)} or somewhat more",
            )
        elif given is not None and given < wanted:
            yield Problem(
                f"spec.hard.{key}",
                f"{hard.get(key)} is less than the {_shown(key, wanted)} that is rendered here",
                "raise it",
            )
        elif given is not None and wanted and given > most:
            yield Problem(
                f"spec.hard.{key}",
                f"{hard.get(key)} is more than {SLACK} times the {_shown(key, wanted)} that is rendered here",
                "bound it nearer to the need",
            )


@rule(
    "quota-finds-what-it-counts",
    QUOTA,
    why="where a quota counts a resource, a pod that does not say how much it wants is refused",
)
def _quota_finds_what_it_counts(obj: Obj, world: World) -> Problems:
    defaults = [limits for each in world.of("LimitRange") if each.namespace == obj.namespace for limits in _of(each)]
    for key in tree(obj.spec.get("hard")):
        what, _, resource = str(key).partition(".")
        if what not in {"requests", "limits"} or resource not in {"cpu", "memory"}:
            continue
        if any(_default(limits, what, resource) for limits in defaults):
            continue
        for workload in world.workloads_in.get(obj.namespace, []):
            for container in workload.all_containers:
                if not _given(container, what, resource):
                    yield Problem(
                        f"spec.hard.{key}",
                        f"{workload.obj} does not set {container.field}.resources.{what}.{resource}",
                        "set it there, or a default in a LimitRange",
                    )


def _of(obj: Obj) -> Iterator[Tree]:
    return (limits for limits in trees(obj.spec.get("limits")) if limits.get("type") == "Container")


def _default(limits: Tree, what: str, resource: str) -> Decimal | None:
    """What a container gets that says nothing, as the API server fills it in: a limit's default is the maximum."""
    limit = quantity(dig(limits, "default", resource)) or quantity(dig(limits, "max", resource))
    return limit if what == "limits" else quantity(dig(limits, "defaultRequest", resource)) or limit


@rule("limit-range-fits", ranges, why="a container outside of its namespace's limit range is refused")
def _limit_range_fits(obj: Obj, world: World) -> Problems:
    if not trees(obj.spec.get("limits")):
        yield Problem("spec.limits", "is empty", "say what a container may have, or drop the object")
    for limits in _of(obj):
        for resource in ("cpu", "memory"):
            yield from _range_problems(obj, limits, resource, world)


def _range_problems(obj: Obj, limits: Tree, resource: str, world: World) -> Problems:
    inside = [(w, c) for w in world.workloads_in.get(obj.namespace, []) for c in w.all_containers]
    most, least = (quantity(dig(limits, key, resource)) for key in ("max", "min"))
    for workload, container in inside:
        name = f"{workload.obj}, container {container.name}"
        if most is not None and _given(container, "limits", resource) > most:
            yield Problem(
                f"spec.limits[].max.{resource}",
                f"{_shown(resource, most)} is below the limit of {name}",
                "raise one of them",
            )
        if least is not None and _given(container, "requests", resource) < least:
            yield Problem(
                f"spec.limits[].min.{resource}", f"{_shown(resource, least)} is above the request of {name}", "lower it"
            )
    largest = max((_given(c, "limits", resource) for _, c in inside), default=Decimal(0))
    if most is None:
        yield Problem(f"spec.limits[].max.{resource}", "is missing: one container may take it all", "set it")
    elif largest and most > ROOM * largest:
        yield Problem(
            f"spec.limits[].max.{resource}",
            f"{_shown(resource, most)} is more than {ROOM} times the largest limit here, {_shown(resource, largest)}",
            "set it nearer to the largest container",
        )


@rule(
    "defaults-are-small",
    ranges,
    why="a helper that says nothing of its need must not take the room of a model server",
)
def _defaults_are_small(obj: Obj, world: World) -> Problems:
    servers = [s.container for o, s in world.servers.items() if o.namespace == obj.namespace]
    for limits in _of(obj):
        for what in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                given = _default(limits, what, resource)
                wanted = min((w for c in servers if (w := _given(c, what, resource))), default=None)
                if given is not None and wanted is not None and given * 2 > wanted:
                    key = "defaultRequest" if what == "requests" else "default"
                    yield Problem(
                        f"spec.limits[].{key}.{resource}",
                        f"gives {_shown(resource, given)}, and a model server has {_shown(resource, wanted)}",
                        "give at most half of what a server has",
                    )
