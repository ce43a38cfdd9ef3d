from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fixtures.static import ROOT, offline_kubectl
from fixtures.verdicts import Evidence
from shakedown.lint.durations import differences, is_shorter_duration
from shakedown.lint.load import parse, render, with_components

pytestmark = [pytest.mark.smoke, pytest.mark.own_manifests]
FAST_CLOCK = ROOT / "manifests" / "components" / "fast-clock"


@pytest.mark.parametrize("overlay", ["kind", "optimised", "production", "canary", "torchserve"])
def test_the_fast_clock_shortens_durations_and_nothing_else(overlay: str, tmp_path: Path, evidence: Evidence) -> None:
    """What is proven with the fast clock is proven of the same stack: only durations differ, and only downwards."""
    folder = ROOT / "manifests" / "overlays" / overlay
    folders = (folder, with_components(tmp_path, folder, FAST_CLOCK))
    with ThreadPoolExecutor(len(folders)) as pool:
        texts = pool.map(lambda each: render(each, offline_kubectl), folders)
    shipped, fast = ([data for data, _ in parse(text, overlay)] for text in texts)
    found = list(differences(shipped, fast))
    assert found, "the component changes nothing"
    others = [
        f"{name}, {path}: {old!r} became {new!r}"
        for name, path, old, new in found
        if not is_shorter_duration(path, old, new)
    ]
    assert others == []
    evidence(f"{len(found)} durations differ and nothing else; none that ships grew")
