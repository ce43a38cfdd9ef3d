"""promtool out of Debian's package."""

from pathlib import Path

from airgap.debian_program import program


def promtool() -> Path:
    """The promtool on PATH, else Debian's from the cache. Raises BuildError where apt can't fetch it."""
    return program("promtool", package="prometheus", version="2.42.0+ds-5+deb12u1")
