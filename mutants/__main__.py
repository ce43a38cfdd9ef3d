"""`python -m mutants static | mechanical | live [ID ...]`: score the suites by the defects that they catch."""

import argparse
import sys
import time
from pathlib import Path

from airgap.cache import BuildError
from mutants import live, mechanical, score
from mutants.bench import NotGreen, bench
from mutants.catalogue import CatalogueError, read
from shakedown.lint.load import BadInput
from shakedown.lint.promtool import NotJudged

REPORTS = Path(__file__).parents[1] / "reports"


def main() -> int:
    """0 where every defect is caught as it should be, 1 where one is not, 2 where nothing could be scored."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("what", choices=["static", "mechanical", "live"])
    parser.add_argument("ids", nargs="*", metavar="ID", help="of live mutants; all of them where none is named")
    asked = parser.parse_args()
    try:
        if asked.what == "live":
            return live.score(asked.ids)
        return static() if asked.what == "static" else mechanically()
    except (NotGreen, CatalogueError, BadInput, BuildError, NotJudged) as error:
        print(f"nothing was scored: {error}", file=sys.stderr)
        return 2


def static() -> int:
    """Judge the baseline and every static mutant."""
    started = time.monotonic()
    ground = bench()
    ground.require_green()
    results = [score.judge_mutant(mutant, ground) for mutant in read("static")]
    idle = score.unjudged(ground)
    seconds = time.monotonic() - started
    score.write(results, ground, seconds, REPORTS / "mutation.json")
    print("\n".join(score.report(results, idle, seconds)))
    return int(bool(idle) or score.raw_score(results) < 100)


def mechanically() -> int:
    """Mutate every field mechanically; a survivor that nobody has judged is red."""
    ground = bench()
    ground.require_green()
    outcome = mechanical.run(ground)
    print("\n".join(mechanical.report(outcome)))
    mechanical.write(outcome, REPORTS / "mutation-mechanical.json")
    return int(bool(outcome.unjudged or outcome.stale))


if __name__ == "__main__":
    sys.exit(main())
