"""Live mutants: the stack is applied with one defect, and the test named for it must turn red on the cluster."""

import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jsonpointer
import yaml
from pydantic import Field, ValidationError

from airgap import bed, images
from mutants.bench import NotGreen
from mutants.catalogue import FOLDER, CatalogueError, Change, Strict
from mutants.change import DoesNotApply
from mutants.score import Fate
from shakedown import manifests
from shakedown.verdict import Outcome

ROOT = Path(__file__).parents[1]
REPORT = re.compile(r"^report: (reports/[^/\s]+)\S*$", re.MULTILINE)  # how the suites' summary names its folder
TRACK = "shakedown.dev/track"
COMPONENTS = ("fast-clock", "air-gapped")
CLUSTER = "mutants"  # kept between the runs, which bring it back to its baseline and check that
RUN_S = 600.0  # the longest a named test takes, its stack included, is 240 s


class LiveCaught(Strict):
    """The test that must turn red, and a phrase that its reason must hold."""

    test: str
    says: str = Field(min_length=8)  # shorter ones are found in messages about something else


class LiveMutant(Strict):
    """A defect that only a running stack shows."""

    id: str
    title: str
    suffers: str
    origin: str
    overlay: Literal["kind", "canary"] = "kind"
    change: list[Change] = Field(min_length=1)
    caught: LiveCaught


@dataclass(frozen=True)
class LiveResult:
    """One mutant's fate: what the named test said, and the seconds that the run took."""

    id: str
    title: str
    test: str
    fate: Fate
    said: str
    seconds: float


def read(folder: Path = FOLDER / "live") -> list[LiveMutant]:
    """All live mutants by id. Raises CatalogueError for a file that is none, or wrongly named."""
    found = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            mutant = LiveMutant.model_validate(yaml.safe_load(file.read_text()))
        except (yaml.YAMLError, ValidationError) as error:
            raise CatalogueError(f"{file}: {error}") from error
        if mutant.id != file.stem:
            raise CatalogueError(f"{file}: is {mutant.id}; name and id must agree")
        found.append(mutant)
    if not found:
        raise CatalogueError(f"{folder}: holds no mutant")
    return found


def rendered(overlay: str) -> tuple[manifests.Manifest, ...]:
    """The objects that the mutants change: an overlay at the fast clock, with offline images."""
    parts = bed.ensure("airgap", [recipe.name for recipe in images.EXTRAS])
    folder = ROOT / "manifests"
    return manifests.render(
        parts.kubectl, folder / "overlays" / overlay, [folder / "components" / name for name in COMPONENTS]
    )


def patches_of(change: Change, objects: tuple[manifests.Manifest, ...]) -> list[dict[str, Any]]:
    """One change as kustomize patches. Raises DoesNotApply where there is nothing to change."""
    if change.add:
        return [{"add": change.add}]
    kind, _, place = change.on.partition(" ")
    namespace, _, name = place.rpartition("/")
    fitting = [
        item
        for item in objects
        if item["kind"] == kind
        and item["metadata"].get("namespace", "") == namespace
        and plain(item["metadata"]["name"], kind) == name
    ]
    if len(fitting) != 1:
        raise DoesNotApply(f"{change.on} is rendered {len(fitting)} times, and must be once")
    operations = [*change.patch, *(replaced(fitting[0], each.path, each.old, each.new) for each in change.replace)]
    target = {"kind": kind, "name": name, "namespace": namespace}
    if track := fitting[0]["metadata"].get("labels", {}).get(TRACK):
        target["labelSelector"] = f"{TRACK}={track}"  # kustomize knows a canary by its name without the suffix too
    return [{"target": target, "patch": yaml.safe_dump(operations)}]


def plain(name: str, kind: str) -> str:
    """A generated ConfigMap's name without the hash that kustomize appends; patches name it so."""
    stem, _, digest = name.rpartition("-")
    return stem if kind == "ConfigMap" and len(digest) == 10 else name


def replaced(item: manifests.Manifest, path: str, old: str, new: str) -> dict[str, Any]:
    """The JSON patch that replaces text within one string. Raises DoesNotApply where the text isn't there."""
    text = jsonpointer.resolve_pointer(item, path, "")
    if old not in text:
        raise DoesNotApply(f"{item['metadata']['name']}{path}: holds no {old!r}")
    return {"op": "replace", "path": path, "value": text.replace(old, new)}


def run_tests(tests: list[str], *options: str) -> list[dict[str, Any]]:
    """Run tests on the kept cluster in a pytest of their own; what became of each promise that was asked."""
    command = [sys.executable, "-m", "pytest", "-q", *tests, "--keep-cluster", f"--cluster-name={CLUSTER}"]
    done = subprocess.run(
        [*command, "--clock=fast", "--images=airgap", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    named = REPORT.search(done.stdout)
    if named is None:
        raise NotGreen(f"pytest wrote no verdict; it said: {done.stdout[-500:]}{done.stderr[-500:]}")
    promises: list[dict[str, Any]] = json.loads((ROOT / named[1] / "verdict.json").read_text())["promises"]
    return [promise for promise in promises if promise["outcome"] != Outcome.NOT_PROVEN]


def judge(mutant: LiveMutant) -> LiveResult:
    """Apply the stack with one mutant and run the test that is named for it."""
    started = time.monotonic()

    def result(fate: Fate, said: str) -> LiveResult:
        return LiveResult(mutant.id, mutant.title, mutant.caught.test, fate, said, time.monotonic() - started)

    objects = rendered(mutant.overlay)
    try:
        patches = [patch for change in mutant.change for patch in patches_of(change, objects)]
    except DoesNotApply as error:
        return result(Fate.WORTHLESS, str(error))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump_all(patches, file)
        file.flush()
        promises = run_tests([mutant.caught.test], f"--overlay={mutant.overlay}", "--patch", file.name)
    red = [promise["reason"] for promise in promises if promise["outcome"] == Outcome.FAILED]
    if any(mutant.caught.says in reason for reason in red):
        return result(Fate.KILLED, next(reason for reason in red if mutant.caught.says in reason))
    if red:
        return result(Fate.WRONG_TEST, red[0])
    unjudged = [promise["reason"] for promise in promises if promise["outcome"] == Outcome.INCONCLUSIVE]
    return result(Fate.WORTHLESS, unjudged[0]) if unjudged or not promises else result(Fate.SURVIVED, "")


def require_green(mutants: list[LiveMutant]) -> None:
    """Every named test must be proven on the stack as it ships. Raises NotGreen with the first that isn't."""
    for overlay in sorted({mutant.overlay for mutant in mutants}):
        tests = sorted({mutant.caught.test for mutant in mutants if mutant.overlay == overlay})
        promises = run_tests(tests, f"--overlay={overlay}")
        broken = [promise for promise in promises if promise["outcome"] != Outcome.PASSED]
        if broken or not promises:
            first = broken[0] if broken else {"test": "no test", "reason": "nothing was asked"}
            raise NotGreen(f"the {overlay} stack as it ships is not green: {first['test']}: {first['reason']}")


def score(only: list[str]) -> int:
    """Judge the baseline and every live mutant (or those named); 0 where each is killed by its test."""
    mutants = [mutant for mutant in read() if not only or mutant.id in only]
    if unknown := set(only) - {mutant.id for mutant in mutants}:
        raise CatalogueError(f"there is no live mutant {', '.join(sorted(unknown))}")
    require_green(mutants)
    results = []
    for number, mutant in enumerate(mutants, 1):
        results.append(judge(mutant))
        last = results[-1]
        print(f"[{number}/{len(mutants)}] {last.fate}: {last.id} ({last.seconds:.0f} s): {last.said}", flush=True)
    killed = sum(result.fate is Fate.KILLED for result in results)
    print(f"raw score: {killed} of {len(results)} live mutants killed by the test that is named for them")
    document = {"score": killed / len(results), "mutants": [asdict(result) for result in results]}
    (ROOT / "reports" / "mutation-live.json").write_text(json.dumps(document, indent=2))
    return int(killed < len(results))
