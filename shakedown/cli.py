"""The command line: what a run came to, how it differs, whether it allows a release, whether an endpoint answers."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError

from shakedown import check, manifests
from shakedown.report import bundle, compare, gate, history, markdown, page, summary
from shakedown.report.bundle import Verdict

WRONG_USE = 2


class UnusableArgument(Exception):
    """What was named isn't there or can't be read."""


def verdict_of(name: str, reports: Path) -> Verdict:
    """The verdict of a run, by its name in reports/, its folder, or its verdict.json. Raises UnusableArgument."""
    choices = (Path(name).parent if name.endswith(".json") else Path(name), reports / name)
    folder = next((each for each in choices if (each / "verdict.json").is_file()), None)
    if folder is None:
        raise UnusableArgument(f"there is no run {name}: neither a folder with a verdict.json, nor one in {reports}/")
    try:
        return bundle.load(folder)
    except ValidationError as error:
        raise UnusableArgument(f"{folder}/verdict.json is no verdict: {error.errors()[0]['msg']}") from error


def show(options: argparse.Namespace) -> int:
    """Each promise one line, as at the end of the run."""
    verdict = verdict_of(options.run, options.reports)
    if options.markdown:
        print(markdown.summary(verdict), end="")
        return 0
    for _, line in summary.lines(verdict.promises):
        print(line)
    print(f"{summary.totals(verdict.promises)}; exit code {verdict.exit_code}; {markdown.about(verdict)}")
    return 0


def diff(options: argparse.Namespace) -> int:
    """What changed from one run to another; exit code 1 where a verdict did."""
    found = compare.compare(verdict_of(options.before, options.reports), verdict_of(options.after, options.reports))
    for change in found.verdicts:
        print(f"{change.before.outcome} -> {change.after.outcome}: {change.claim}: {change.after.reason}")
    for word, changes in (("slower", found.slower), ("faster", found.faster)):
        for change in changes:
            print(f"{word}: {change.claim}: {change.before.seconds:.1f} -> {change.after.seconds:.1f} s")
    print(f"{len(found.verdicts)} changed, {len(found.new)} asked in the second only, {len(found.gone)} in the first")
    return 1 if found.verdicts else 0


def past(options: argparse.Namespace) -> int:
    """Each claim over the last runs, oldest first; the flaky ones last."""
    verdicts = history.runs(options.reports, options.last)
    if not verdicts:
        raise UnusableArgument(f"there are no runs in {options.reports}/")
    courses = sorted(history.courses(verdicts), key=lambda course: course.flaky)
    print(f"{len(verdicts)} runs, {verdicts[0].run} to {verdicts[-1].run}; . proven, F failed, ? not judged")
    for course in courses:
        print(course)
    flaky = [course.claim for course in courses if course.flaky]
    print(f"flaky, on the same manifests: {', '.join(flaky) or 'none'}")
    return 0


def gated(options: argparse.Namespace) -> int:
    """Whether a verdict is green and about what will be released."""
    verdict = verdict_of(options.verdict, options.reports)
    found = list(gate.objections(verdict, options.manifests_digest, dict(options.image), dict(options.model)))
    for objection in found:
        print(f"refused: {objection}")
    if not found:
        print(f"allowed: run {verdict.run} proved {verdict.judged.manifests}")
    return 1 if found else 0


def digest(options: argparse.Namespace) -> int:
    """The digest of rendered manifests, as verdict.json holds it."""
    try:
        objects = [each for each in yaml.safe_load_all(options.file.read_text()) if each]
    except (OSError, yaml.YAMLError) as error:
        raise UnusableArgument(str(error)) from error
    if not objects:
        raise UnusableArgument(f"{options.file} holds no object")
    print(manifests.digest(objects))
    return 0


def checked(options: argparse.Namespace) -> int:
    """One endpoint: state and version, prediction, latency; one line each."""
    try:
        endpoint, grpc = check.endpoint_of(options.url, options.host)
        given = json.loads(options.input.read_text())["instances"] if options.input else None
        images = None if given is None else np.asarray(given, dtype=np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise UnusableArgument(f"{type(error).__name__}: {error}") from error
    question = check.Question(options.model, options.version, images, options.within)
    answers = []
    for answer in check.check(endpoint, question, grpc=grpc):
        print(answer, flush=True)
        answers.append(answer)
    return 0 if all(answer.right for answer in answers) else 1


def report(options: argparse.Namespace) -> int:
    """Write report.html anew."""
    verdict = verdict_of(options.run, options.reports)
    print(page.write((options.reports / verdict.run).resolve()))
    return 0


def schema(_: argparse.Namespace) -> int:
    """The JSON schema of verdict.json."""
    print(json.dumps(Verdict.model_json_schema(), indent=2))
    return 0


def pair(text: str) -> tuple[str, str]:
    """NAME=DIGEST in two parts. Raises ValueError, which argparse tells the user."""
    name, equals, value = text.rpartition("=")
    if not equals:
        raise ValueError(text)
    return name, value


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = argparse.ArgumentParser(prog="shakedown", description="What runs came to. The run itself: pytest suites/")
    top.add_argument("--reports", type=Path, default=Path("reports"), help="where the runs lie (default: reports)")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object) -> argparse.ArgumentParser:
        words = str(getattr(run, "__doc__", ""))
        made = commands.add_parser(name, help=words.rstrip("."), description=words)
        made.set_defaults(command=run)
        return made

    showing = command("show", show)
    showing.add_argument("run", nargs="?", default="latest")
    showing.add_argument("--markdown", action="store_true", help="for a CI job's page")
    differing = command("diff", diff)
    differing.add_argument("before")
    differing.add_argument("after", nargs="?", default="latest")
    command("history", past).add_argument("--last", type=int, default=20, help="how many runs (default: 20)")
    command("report", report).add_argument("run", nargs="?", default="latest")
    command("digest", digest).add_argument("file", type=Path, help="rendered manifests, one YAML file")
    command("schema", schema)
    add_gate(command("gate", gated))
    add_check(command("check", checked))
    return top


def add_gate(gating: argparse.ArgumentParser) -> None:
    """The options of `gate`."""
    gating.add_argument("verdict", help="a run, its folder, or its verdict.json")
    gating.add_argument("--manifests-digest", required=True, help="of what will be released: see `digest`")
    gating.add_argument("--image", type=pair, action="append", default=[], metavar="NAME=DIGEST")
    gating.add_argument("--model", type=pair, action="append", default=[], metavar="NAME=DIGEST")


def add_check(checking: argparse.ArgumentParser) -> None:
    """The options of `check`."""
    checking.add_argument("url", help="http://HOST:PORT or grpc://HOST:PORT")
    checking.add_argument("--model", required=True)
    checking.add_argument("--version", type=int, default=0, help="that must serve (default: any)")
    checking.add_argument("--host", default="", help="the host name that a gateway routes by")
    checking.add_argument(
        "--input", type=Path, help='JSON, {"instances": [...]} (default: zeros in the model\'s shapes)'
    )
    checking.add_argument("--within", type=float, default=0.25, help="seconds of the median prediction (default: 0.25)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 where it is used wrongly."""
    options = parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except UnusableArgument as error:
        print(f"shakedown: {error}", file=sys.stderr)
        return WRONG_USE
