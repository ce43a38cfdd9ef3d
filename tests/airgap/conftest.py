from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's cache."""
    monkeypatch.setenv("SHAKEDOWN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
