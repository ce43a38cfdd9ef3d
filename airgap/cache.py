"""Artefacts that are built once: kept in the user's cache under a key made of their recipe."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import platformdirs
from filelock import FileLock

from airgap.progress import say, step


class BuildError(Exception):
    """A build step failed; the message names the step and says what to do."""


class NotBuiltError(BuildError):
    """The artefact isn't there, and nothing may be built now."""


building_allowed: ContextVar[bool] = ContextVar("building_allowed", default=True)


@contextmanager
def nothing_built() -> Iterator[None]:
    """Inside, an artefact that isn't there raises NotBuiltError instead of being built."""
    token = building_allowed.set(False)
    try:
        yield
    finally:
        building_allowed.reset(token)


def root() -> Path:
    """The cache's folder: $SHAKEDOWN_CACHE, else `shakedown` in the user's cache folder. Raises BuildError."""
    path = Path(os.environ.get("SHAKEDOWN_CACHE") or platformdirs.user_cache_dir("shakedown"))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"{path} can't be the cache ({error.strerror}); name another folder with SHAKEDOWN_CACHE"
        ) from error
    return path


def key_of(recipe: Mapping[str, object]) -> str:
    """The first 12 hex digits of the recipe's SHA-256; the recipe is whatever JSON can write."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def files_digest(*paths: Path) -> str:
    """One SHA-256 over the names and contents of files and folders, byte-compiled files left out."""
    digest = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            if "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def artefact(
    name: str, recipe: Mapping[str, object], build: Callable[[Path], None], expect_s: float | None = None
) -> Path:
    """The folder `<name>-<key>`, made by `build(folder)` if it is not there yet.

    `build` gets an empty folder beside the final one, which is renamed into place only when it returns: an
    interrupted build leaves no half artefact. Two runs at once build it once; the second waits and says so.
    Older artefacts of the same name are left for `make clean`, which goes by the time of the last use.
    """
    final = root() / f"{name}-{key_of(recipe)}"
    if final.is_dir():
        os.utime(final)
        return final
    if not building_allowed.get():
        raise NotBuiltError(f"{name} is not in the cache: `make images` builds it")
    lock = FileLock(root() / f".{name}.lock")
    if lock_is_taken(lock):
        say(f"{name}: another run is building it, waiting")
    with lock:
        if final.is_dir():
            return final
        for stale in root().glob(f".{name}-part-*"):  # of a build that was killed; the lock says nobody is at it
            shutil.rmtree(stale)
        part = Path(tempfile.mkdtemp(prefix=f".{name}-part-", dir=root()))
        try:
            with step(f"building {name}", expect_s):
                build(part)
            part.chmod(0o755)
            part.rename(final)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return final


def lock_is_taken(lock: FileLock) -> bool:
    """Whether another process holds the lock at this moment."""
    if lock.is_locked:
        return False
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        return True
    lock.release()
    return False


def artefacts() -> dict[str, list[Path]]:
    """All artefacts by name, the one used last first."""
    found: dict[str, list[Path]] = {}
    for path in sorted(root().iterdir(), key=lambda path: path.stat().st_mtime, reverse=True):
        match = re.fullmatch(r"([^.].*)-[0-9a-f]{12}", path.name)
        if match and path.is_dir():
            found.setdefault(match[1], []).append(path)
    return found
