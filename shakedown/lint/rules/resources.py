from collections.abc import Iterable
from decimal import Decimal

from shakedown.lint.objects import Obj
from shakedown.lint.quantity import quantity
from shakedown.lint.rule import Problem, Problems, rule
from shakedown.lint.world import World

MIB = 2**20
# TensorFlow Serving with a small model rests at 150 to 300 MiB, and holds two versions while it swaps them
SERVER_MEMORY = 512 * MIB
SERVER_CPU = Decimal("0.1")
MOST_CPU, MOST_MEMORY = Decimal(128), Decimal(2**40)  # beyond any node that serves: a slip of the suffix
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def workloads(world: World) -> Iterable[Obj]:
    """All objects that make pods."""
    return world.workloads


def servers(world: World) -> Iterable[Obj]:
    """Workloads that run the model server."""
    return world.servers


@rule(
    "requests-set",
    workloads,
    why="a pod without requests is the first to be evicted, and no node is chosen for its need",
)
def _requests_set(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].containers:
        for name, most in (("cpu", MOST_CPU), ("memory", MOST_MEMORY)):
            field, wanted = f"{container.field}.resources.requests.{name}", quantity(container.request(name))
            if wanted is None:
                yield Problem(field, "is not set", "request what the container needs at rest")
            elif not Decimal("0.001") <= wanted <= most or (name == "memory" and wanted < MIB):
                yield Problem(
                    field, f"{container.request(name)} is out of reason", "check the suffix: m is a thousandth"
                )


@rule("memory-limited", workloads, why="a leak in one pod must not take the node's other pods along")
def _memory_limited(obj: Obj, world: World) -> Problems:
    for container in world.workloads[obj].containers:
        limit = quantity(container.limit("memory"))
        if limit is None:
            yield Problem(f"{container.field}.resources.limits.memory", "is not set", "limit the memory")
        elif limit > MOST_MEMORY:
            yield Problem(
                f"{container.field}.resources.limits.memory",
                f"{container.limit('memory')} limits nothing",
                "check the suffix",
            )
        for name in ("cpu", "memory", "ephemeral-storage"):
            given = quantity(container.limit(name))
            if given is not None and given <= 0:
                yield Problem(f"{container.field}.resources.limits.{name}", "is 0", "set what the container needs")


@rule(
    "server-has-memory",
    servers,
    why="a server killed for memory loses its requests; a version swap holds two models (tensorflow/serving#2142)",
)
def _server_has_memory(obj: Obj, world: World) -> Problems:
    container = world.servers[obj].container
    limit, wanted = quantity(container.limit("memory")), quantity(container.request("memory"))
    if limit is not None and limit < SERVER_MEMORY:
        yield Problem(
            f"{container.field}.resources.limits.memory", f"is {container.limit('memory')}", "allow 512Mi or more"
        )
    if limit is not None and wanted is not None and wanted * 2 < limit:
        yield Problem(
            f"{container.field}.resources.requests.memory",
            f"{container.request('memory')} is less than half of the limit",
            "request near the limit: memory can't be taken back when the node is full",
        )


@rule("server-has-cpu", servers, why="a server throttled by its limit answers late while the node idles")
def _server_has_cpu(obj: Obj, world: World) -> Problems:
    container = world.servers[obj].container
    wanted, limit = quantity(container.request("cpu")), quantity(container.limit("cpu"))
    if wanted is not None and wanted < SERVER_CPU:
        yield Problem(
            f"{container.field}.resources.requests.cpu", f"is {container.request('cpu')}", "request 100m or more"
        )
    for name in THREADS:
        threads = container.env.get(name)
        if threads is not None and not threads.isdigit():
            yield Problem(f"{container.field}.env[{name}]", f"{threads!r} is no number", "set a number of threads")
        elif threads is not None and limit is not None and int(threads) > -(-limit // 1):
            yield Problem(
                f"{container.field}.env[{name}]", f"{threads} threads on {limit} CPUs", "set at most the CPU limit"
            )
