"""Warm-up spares the first users of a freshly loaded model what the first calls cost."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from fixtures.verdicts import Evidence
from models.build import bundle
from shakedown.grpc_client import reload_config, with_more
from shakedown.oracle import Oracle
from shakedown.serving import Endpoint
from shakedown.settings import Deployment
from shakedown.verdict import Inconclusive

ROUNDS = 7
LATER = 5
FOLDER = ".shakedown-warm-up"


@contextmanager
def freshly_loaded(one: Endpoint, store: Path, config: str, sources: dict[str, Path]) -> Iterator[None]:
    """One server loads each source under `ROUNDS` names of its own, <kind>-<round>; taken back at the end."""
    for kind, source in sources.items():
        shutil.copytree(source, store / FOLDER / kind / "1")
    for path in [store / FOLDER, *(store / FOLDER).rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    models = {f"{kind}-{turn}": f"/models/{FOLDER}/{kind}" for kind in sources for turn in range(ROUNDS)}
    try:
        reload_config(one, with_more(config, models))
        yield
    finally:
        reload_config(one, config)
        shutil.rmtree(store / FOLDER)


def seconds_of(one: Endpoint, model: str, oracle: Oracle) -> float:
    """What one prediction takes, connection included."""
    started = time.perf_counter()
    one.predict_rest(model, oracle.images[:1])
    return time.perf_counter() - started


def test_warm_up_removes_the_first_calls_penalty(
    one: Endpoint, store: Path, model_config: str, deployment: Deployment, oracle: Oracle, evidence: Evidence
) -> None:
    """Freshly loaded, a model with warm-up records answers its first call at once; without them, that one is slow."""
    sources = {"warm": bundle() / deployment.model / "2", "cold": bundle() / "spoiled" / "no-warm-up"}
    first: dict[str, list[float]] = {kind: [] for kind in sources}
    later: list[float] = []
    with freshly_loaded(one, store, model_config, sources):
        for turn in range(ROUNDS):
            for kind, seen in first.items():
                seen.append(seconds_of(one, f"{kind}-{turn}", oracle))
                later += [seconds_of(one, f"{kind}-{turn}", oracle) for _ in range(LATER)]
    usual, cold, warm = median(later), median(first["cold"]), median(first["warm"])
    said = f"first call {cold * 1e3:.1f} ms cold, {warm * 1e3:.1f} ms warmed up; usual {usual * 1e3:.1f} ms"
    if cold < 1.5 * usual:
        raise Inconclusive(f"{said}: there is no penalty to remove (medians of {ROUNDS})")
    assert warm - usual <= (cold - usual) / 2, f"{said}: the warm-up spares users nothing; are its records there?"
    evidence(f"{said} (medians of {ROUNDS} fresh loads each)")
