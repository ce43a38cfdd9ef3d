"""`python -m airgap`: build everything ahead of a run, look at what there is, tidy up."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from airgap import bed, cache, derived, engine, images, tidy
from airgap.cache import BuildError
from airgap.progress import say

EXIT_INTERRUPTED = 130  # as a shell reports a program that SIGINT ended
EXIT_TERMINATED = 143  # the same for SIGTERM


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 it failed and said why, 130 and 143 interrupted."""
    signal.signal(signal.SIGTERM, terminate)
    options = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except BuildError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; what was finished is kept, the next run goes on from there")
        return EXIT_INTERRUPTED


def terminate(_signal: int, _frame: FrameType | None) -> None:
    """End like an interrupted program, so that children end and half artefacts go."""
    sys.exit(EXIT_TERMINATED)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m airgap", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("images", help="build or pull everything that a run needs")
    build.add_argument("--images", choices=["auto", "airgap", "registry"], default="auto", dest="mode")
    build.set_defaults(command=build_images)

    ready = commands.add_parser("ready", help="exit 0 if all of the offline build is in the cache, 1 if not")
    ready.set_defaults(command=is_ready)

    start = commands.add_parser("engine", help="see to it that a Docker engine answers")
    start.add_argument("--stop", action="store_true", help="end the engine that this project started")
    start.set_defaults(command=start_or_stop_engine)

    derive = commands.add_parser("derive", help="build an image on top of one that a kind cluster's nodes have")
    derive.add_argument("base", help="an image of the nodes")
    derive.add_argument("image", help="the name of the new one")
    derive.add_argument("tree", type=Path, help="a folder: the files that the new one has more")
    derive.set_defaults(command=lambda o: done(derived.build, o.cluster, o.base, o.image, o.tree, o.archive))

    deliver = commands.add_parser("deliver", help="give a kind cluster's nodes an image that was derived")
    deliver.set_defaults(command=lambda o: done(derived.deliver, o.cluster, o.archive))
    for each in (derive, deliver):
        each.add_argument("--cluster", required=True, help="the kind cluster")
        each.add_argument("--archive", type=Path, required=True, help="the file that holds the image in between")

    show = commands.add_parser("list", help="what is in the cache")
    show.set_defaults(command=list_artefacts)

    where = commands.add_parser("where", help="the cache's folder")
    where.set_defaults(command=show_root)

    clean = commands.add_parser("clean", help="remove kept clusters and what is out of date")
    clean.add_argument("--all", action="store_true", help="remove the engine's data and the whole cache too")
    clean.add_argument("--cluster", metavar="NAME", help="remove this kept cluster and nothing else")
    clean.set_defaults(
        command=lambda options: (
            tidy.clean_cluster(options.cluster) if options.cluster else tidy.clean(everything=options.all)
        )
    )
    return top


def done(work: Callable[..., None], *arguments: object) -> int:
    """Do the work, which raises BuildError where it can't be done."""
    work(*arguments)
    return 0


def show_root(_options: argparse.Namespace) -> int:
    """Print the cache's folder, for programs that know nothing of the offline build."""
    print(cache.root())
    return 0


def build_images(options: argparse.Namespace) -> int:
    """Everything that a run needs, and what it took."""
    made = bed.ensure(options.mode, [recipe.name for recipe in images.EXTRAS])
    print(f"images: {made.mode}, {made.reason}")
    print(f"node image {made.node_image}")
    for name in made.images:
        print(f"image {name}")
    for stage, seconds in made.stage_seconds.items():
        print(f"{seconds:8.1f} s  {stage}")
    return list_artefacts(options) if made.mode == "airgap" else 0


def is_ready(_options: argparse.Namespace) -> int:
    """Whether nothing needs building."""
    missing = bed.missing([recipe.name for recipe in images.EXTRAS])
    say(f"not ready: {missing}" if missing else "ready: nothing needs building")
    return 1 if missing else 0


def start_or_stop_engine(options: argparse.Namespace) -> int:
    """The engine, started or stopped."""
    if options.stop:
        engine.stop()
    else:
        print(f"Docker engine {engine.ensure()} answers")
    return 0


def list_artefacts(_options: argparse.Namespace) -> int:
    """Each artefact's size, the newest of each name first."""
    sizes = tidy.sizes()
    for path, size in sizes.items():
        print(f"{size / 1e6:10.1f} MB  {path.name}")
    print(f"{sum(sizes.values()) / 1e6:10.1f} MB  in {cache.root()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
