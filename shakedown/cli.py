"""The command line: what a run came to, whether it allows a release, the release and a canary's promotion, a check."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError

from shakedown import check, manifests, propose
from shakedown import promotion as promoting
from shakedown.attended import ended_by_signals, tell
from shakedown.canary import STEPS
from shakedown.cluster import Cluster
from shakedown.cluster.existing import require_context
from shakedown.ledger import Ledger
from shakedown.lint.load import BadInput, read, render
from shakedown.oracle import Floats
from shakedown.progress import say, waiting_line
from shakedown.release import Order, release
from shakedown.replay import recorded_in
from shakedown.report import bundle, compare, gate, history, markdown, page, summary
from shakedown.report.bundle import Verdict
from shakedown.settings import Objectives, Profile, Provider
from shakedown.verdict import Outcome, UnusableEnvironment
from shakedown.wait import Waiting, Watch

WRONG_USE = 2
SHOW_S = 10.0  # between two lines on the same wait


class UnusableArgument(Exception):
    """What was named isn't there or can't be read."""


def verdict_of(name: str, reports: Path) -> Verdict:
    """The verdict of a run, by its name in reports/, its folder, or its verdict.json. Raises UnusableArgument."""
    choices = (Path(name).parent if Path(name).name == "verdict.json" else Path(name), reports / name)
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
    """Whether a verdict is green, of all that was to be asked, and about what will be released; 0, 1, or 6."""
    verdict = verdict_of(options.verdict, options.reports)
    for outcome, line in summary.lines(verdict.promises):
        if outcome is not Outcome.PASSED:
            print(line)
    for name, value in verdict.adjusted.items():
        print(f"adjusted: {name} is {value:g} for this run, which is not Shakedown's own value")
    wanted = gate.Release(options.manifests_digest, dict(options.image), dict(options.model), options.profile)
    found = list(gate.objections(verdict, wanted))
    for objection in found:
        print(f"refused: {objection.said}")
    if not found:
        print(f"allowed: run {verdict.run} proved {verdict.judged.manifests}")
    return gate.exit_code(found)


def digest(options: argparse.Namespace) -> int:
    """The digest of rendered manifests, or of a kustomization's, as verdict.json holds it."""
    try:
        text = render(options.path) if options.path.is_dir() else options.path.read_text()
        objects = [each for each in yaml.safe_load_all(text) if each]
    except OSError as error:
        raise UnusableArgument(f"{options.path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError, BadInput) as error:
        raise UnusableArgument(f"{options.path}: {error}") from error
    if not objects:
        raise UnusableArgument(f"{options.path} holds no object")
    print(manifests.digest(objects))
    return 0


def checked(options: argparse.Namespace) -> int:
    """One endpoint: state and version, prediction, latency; one line each."""
    try:
        endpoint, grpc = check.endpoint_of(options.url, options.host)
    except ValueError as error:
        raise UnusableArgument(str(error)) from error
    endpoint = replace(endpoint, headers=tuple(options.header))
    images = instances_in(options.input) if options.input else None
    question = check.Question(options.model, options.version, images, options.within)
    answers = []
    for answer in check.check(endpoint, question, grpc=grpc):
        print(answer, flush=True)
        answers.append(answer)
    return 0 if all(answer.right for answer in answers) else 1


def instances_in(path: Path) -> Floats:
    """The inputs in a file, {"instances": [...]}. Raises UnusableArgument for a file that holds none."""
    try:
        return np.asarray(json.loads(path.read_text())["instances"], dtype=np.float32)
    except OSError as error:
        raise UnusableArgument(f"--input {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableArgument(f'--input {path}: holds no {{"instances": [...]}} of numbers: {error}') from error


def released(options: argparse.Namespace) -> int:
    """Release an image: build, deliver, set, wait, verify; undone where that fails. Exit code 0, 1 undone, 3, 4."""
    cluster = cluster_of(options)
    order = Order(**{name: getattr(options, name) for name in Order.__dataclass_fields__})
    attend("release")
    return release(cluster, order, tell)


def promoted(options: argparse.Namespace) -> int:
    """Give a canary all users step by step while it is found good, else none. Exit code 0, 1 bad, 3, 4, 6 unclear."""
    order, cluster = promotion_of(options), cluster_of(options)
    attend("promotion")
    with tempfile.TemporaryDirectory() as folder:
        try:
            ledger = Ledger(options.ledger or Path(folder) / "ledger.jsonl")
        except OSError as error:
            raise UnusableArgument(f"--ledger: {error}") from error
        with closing(ledger):
            return promoting.promotion(cluster, order, ledger, tell)


def turned_back(options: argparse.Namespace) -> int:
    """Take a canary's users away at once, whatever its share is. Exit code 0, or 4: somebody must look at once."""
    cluster = cluster_of(options)
    attend("turning back")
    return promoting.turn_back(cluster, place_of(options), tell)


def attend(phase: str) -> None:
    """Whoever waits is told for what, and a signal ends the waiting."""
    Watch.show = Narrator(phase)
    ended_by_signals()


def promotion_of(options: argparse.Namespace) -> promoting.Order:
    """The promotion that was asked for. Raises UnusableArgument for an address or a recording that is none."""
    same = ("model", "version", "steps", "rate", "within", "alpha", "beta")
    try:
        door, grpc = check.endpoint_of(options.url, options.host)
        images, labels = recorded_in(options.input)
    except (OSError, ValueError) as error:
        raise UnusableArgument(str(error)) from error
    if grpc:
        raise UnusableArgument(f"{options.url}: testers ask over REST; name http://HOST:PORT or https://HOST:PORT")
    return promoting.Order(
        place=place_of(options),
        door=door,
        headers=tuple(options.header),
        images=images,
        labels=labels,
        slow_s=options.slow,
        **{name: getattr(options, name) for name in same},
    )


def place_of(options: argparse.Namespace) -> promoting.Place:
    """The route and Services that were named."""
    return promoting.Place(**{name: getattr(options, name) for name in promoting.Place.__dataclass_fields__})


def cluster_of(options: argparse.Namespace) -> Cluster:
    """The cluster of the context that was named. Raises UnusableArgument where it, or kubectl, isn't there."""
    kubectl = options.kubectl or shutil.which("kubectl")
    if kubectl is None:
        raise UnusableArgument("kubectl is not on PATH; install it, or name it with --kubectl")
    try:
        require_context(options.context, options.kubeconfig)
    except UnusableEnvironment as error:
        raise UnusableArgument(str(error)) from error
    return Cluster(
        name=options.context,
        provider=Provider.EXISTING,
        kubeconfig=options.kubeconfig,
        context=options.context,
        kubectl_bin=Path(kubectl),
        owned=False,
        gateway_port=0,
    )


class Narrator:
    """Says what is awaited in a phase, not more often than a log can bear."""

    def __init__(self, phase: str) -> None:
        self.phase, self.last = phase, 0.0

    def __call__(self, waiting: Waiting) -> None:
        """Say one line about a wait."""
        if not self.last <= waiting.waited < self.last + SHOW_S:
            self.last = waiting.waited
            with suppress(OSError):  # whoever read may have gone, and what is waited for is not ended by that
                say(waiting_line(self.phase, waiting.awaited, waiting.seen, waiting.waited, waiting.left))


def init(options: argparse.Namespace) -> int:
    """Propose a shakedown.toml for the model server in rendered manifests."""
    try:
        print(propose.propose(read(options.manifests), options.workload), end="")
    except (BadInput, propose.NothingToPropose) as error:
        raise UnusableArgument(str(error)) from error
    return 0


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
    """NAME=VALUE in two parts. Raises ArgumentTypeError for what has no two."""
    name, equals, value = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: name both, as in NAME=VALUE")
    return name, value


def steps_of(text: str) -> tuple[int, ...]:
    """Shares in percent, such as 1,10,50,100. Raises ArgumentTypeError unless they rise, within 1 and 100."""
    try:
        steps = tuple(int(each) for each in text.split(","))
    except ValueError:
        steps = ()
    if not steps or not all(0 < a < b for a, b in pairwise((*steps, 101))):
        raise argparse.ArgumentTypeError(f"{text}: name percentages that rise, such as 1,10,50,100")
    return steps


def error_rate(text: str) -> float:
    """A share of wrong verdicts. Raises ArgumentTypeError for one that is none, or as good as a coin."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 0.5:
        raise argparse.ArgumentTypeError(f"{text}: name a share above 0 and below 0.5")
    return rate


def profile_of(text: str) -> Profile:
    """A profile by its name. Raises ArgumentTypeError, with those there are."""
    try:
        return Profile(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: name one of {', '.join(Profile)}") from error


def runs_of(text: str) -> int:
    """How many runs. Raises ArgumentTypeError for fewer than one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: name a whole number above 0")
    return int(text)


def positive(text: str) -> float:
    """A number above 0. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: name a number above 0")
    return number


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
    command("history", past).add_argument("--last", type=runs_of, default=20, help="how many runs (default: 20)")
    command("report", report).add_argument("run", nargs="?", default="latest")
    command("digest", digest).add_argument("path", type=Path, help="rendered manifests, or a kustomization's folder")
    command("schema", schema)
    starting = command("init", init)
    starting.add_argument("manifests", type=Path, help="a YAML file, a folder of them, or a kustomization")
    starting.add_argument("--workload", default="", help="the Deployment, where several run a model server")
    add_gate(command("gate", gated))
    add_check(command("check", checked))
    add_release(command("release", released))
    add_promote(command("promote", promoted))
    add_place(command("turn-back", turned_back))
    return top


def add_gate(gating: argparse.ArgumentParser) -> None:
    """The options of `gate`."""
    gating.add_argument("verdict", help="a run, its folder, or its verdict.json")
    gating.add_argument("--manifests-digest", required=True, help="of what will be released: see `digest`")
    gating.add_argument(
        "--profile",
        type=profile_of,
        choices=list(Profile),
        default=Profile.ACCEPTANCE,
        help="that must have been asked at the least (default: acceptance)",
    )
    gating.add_argument("--image", type=pair, action="append", default=[], metavar="NAME=DIGEST")
    gating.add_argument("--model", type=pair, action="append", default=[], metavar="NAME=DIGEST")


def add_check(checking: argparse.ArgumentParser) -> None:
    """The options of `check`."""
    checking.add_argument("url", help="http://HOST:PORT or grpc://HOST:PORT")
    checking.add_argument("--model", required=True)
    checking.add_argument("--version", type=int, default=0, help="that must serve (default: any)")
    checking.add_argument("--host", default="", help="the host name that a gateway routes by")
    add_header(checking, "sent with each request, such as a tester's x-canary=1")
    checking.add_argument(
        "--input", type=Path, help='JSON, {"instances": [...]} (default: zeros in the model\'s shapes)'
    )
    checking.add_argument(
        "--within", type=positive, default=0.25, help="seconds of the median prediction (default: 0.25)"
    )


def add_release(releasing: argparse.ArgumentParser) -> None:
    """The options of `release`; `{image}` in a command is the image's name."""
    releasing.add_argument("image", help="with a tag of its own, such as the commit")
    releasing.add_argument("--namespace", required=True)
    releasing.add_argument("--deployment", required=True)
    releasing.add_argument("--container", required=True)
    releasing.add_argument("--verify", required=True, metavar="COMMAND", help="exits 0 where the release is good")
    releasing.add_argument("--build", default="", metavar="COMMAND", help="such as 'docker build --tag {image} .'")
    releasing.add_argument("--deliver", default="", metavar="COMMAND", help="such as 'docker push {image}'")
    releasing.add_argument("--within", type=positive, default=600, help="seconds of the roll-out (default: 600)")
    releasing.add_argument(
        "--patience", type=positive, default=900, help="seconds of each command, and of undoing (default: 900)"
    )
    add_cluster(releasing)


def add_promote(raising: argparse.ArgumentParser) -> None:
    """The options of `promote`."""
    raising.add_argument("url", help="of the front door, http://HOST:PORT or https://HOST:PORT")
    raising.add_argument("--model", required=True)
    raising.add_argument("--version", type=int, default=0, help="that the canary must serve (default: any)")
    raising.add_argument("--host", default="", help="the host name that the gateway routes by")
    add_header(raising, "that leads a tester to the canary, such as x-canary=1", required=True)
    raising.add_argument(
        "--input", type=Path, required=True, help='recorded requests, JSON: {"instances": [...], "labels": [...]}'
    )
    raising.add_argument("--steps", type=steps_of, default=STEPS, help="percent of the users (default: 1,10,50,100)")
    raising.add_argument("--rate", type=positive, default=50, help="testers' requests a second (default: 50)")
    raising.add_argument("--within", type=positive, default=120, help="seconds of each step's verdict (default: 120)")
    slow = Objectives().latency_p99
    raising.add_argument("--slow", type=positive, default=slow, help=f"seconds that 99 of 100 keep (default: {slow})")
    for name, whom in (("--alpha", "good canaries turned back"), ("--beta", "bad ones let through")):
        raising.add_argument(name, type=error_rate, default=0.05, help=f"the most {whom} (default: 0.05)")
    raising.add_argument("--ledger", type=Path, help="keep each request and answer in this file")
    add_place(raising)


def add_place(placing: argparse.ArgumentParser) -> None:
    """Where a canary's share is set."""
    placing.add_argument("--namespace", required=True)
    placing.add_argument("--route", required=True, help="the HTTPRoute that splits between the two Services")
    placing.add_argument("--stable", required=True, metavar="SERVICE")
    placing.add_argument("--canary", required=True, metavar="SERVICE")
    placing.add_argument(
        "--patience", type=positive, default=120, help="seconds until the gateway has read a change (default: 120)"
    )
    add_cluster(placing)


def add_cluster(reaching: argparse.ArgumentParser) -> None:
    """Which cluster."""
    reaching.add_argument("--context", required=True, help="of the kubeconfig; never its current one")
    reaching.add_argument("--kubeconfig", type=Path, default=Path.home() / ".kube" / "config")
    reaching.add_argument("--kubectl", type=Path, help="(default: the one on PATH)")


def add_header(sending: argparse.ArgumentParser, words: str, *, required: bool = False) -> None:
    """A header of requests, which may be named more than once."""
    option = sending.add_argument("--header", type=pair, action="append", default=[], required=required, help=words)
    option.metavar = "NAME=VALUE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 where it is used wrongly."""
    options = parser().parse_args(arguments)
    try:
        code = int(options.command(options))
    except UnusableArgument as error:
        print(f"shakedown: {error}", file=sys.stderr)
        return WRONG_USE
    except BrokenPipeError:  # whoever read, such as head, has seen enough; the exit code must not look like a verdict
        code = 128 + signal.SIGPIPE
    say_the_rest()
    return code


def say_the_rest() -> None:
    """Print what waits to be printed, unless whoever read has gone: the command is done, and its exit code stands."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter tries again on its way out
