import re
from decimal import Decimal

from shakedown.lint.objects import Json

# Kubernetes' quantity suffixes (resource.Quantity)
SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3)}
SUFFIXES |= {letter: Decimal(1000**power) for power, letter in enumerate("MGTPE", start=2)}
SUFFIXES |= {f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", start=1)}
QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
# Go's durations, and Prometheus' with days, weeks and years
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def quantity(value: Json) -> Decimal | None:
    """A quantity in units (cores, bytes); None for what is not one."""
    found = QUANTITY.fullmatch(str(value))
    if found is None:
        return None
    number, suffix = found[1], found[2] or ""
    return Decimal(number) * SUFFIXES[suffix] if suffix in SUFFIXES else Decimal(number + suffix)


def seconds(value: Json) -> float | None:
    """A duration such as `1m30s` in seconds; None for what is not one."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdwy])", str(value))
    if not parts or "".join(n + u for n, u in parts) != str(value):
        return None
    return sum(float(number) * SECONDS[unit] for number, unit in parts)
