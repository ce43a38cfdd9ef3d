import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from shakedown.lint.quantity import quantity
from shakedown.lint.workload import Container

KNOWN = Path(__file__).with_suffix(".yaml")
NAME = "<name>"  # in the list, for a part that whoever writes the manifest names
SHELLS = {"sh", "bash", "ash", "dash"}
# what a value must look like, by what its option takes: as Go's strconv and time.ParseDuration read it, and as Traefik,
# which takes bare seconds; addresses are Kubernetes' NodeAddressType
SHAPES = {
    "truth": re.compile(r"true|false|[tfTF10]|True|False|TRUE|FALSE"),
    "number": re.compile(r"-?\d+(\.\d+)?"),
    "numbers": re.compile(r"\d+(\.\d+)?(,\d+(\.\d+)?)*"),
    "duration": re.compile(r"\d+|(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+"),
    "address": re.compile(r"[\w.\[\]:-]*:\d+(/(tcp|udp))?"),
    "level": re.compile(r"(?i:trace|debug|info|warn|error|fatal|panic|all|none)"),
    "addresses": re.compile(r"((Hostname|(In|Ex)ternal(IP|DNS))(,|$))+"),
}


@dataclass(frozen=True)
class Program:
    """A program of a version whose options are known: its image's last part and tag, and what each option takes."""

    image: str
    options: dict[str, str]

    def takes(self, name: str) -> str | None:
        """What an option takes: truth, number, duration and so on; None where the program has no such option."""
        if name in self.options:
            return self.options[name]
        for known, kind in self.options.items():
            if NAME in known and re.fullmatch(re.escape(known).replace(re.escape(NAME), r"[^.]+"), name):
                return kind
        return "truth" if name.startswith("no-") and self.options.get(name[3:]) == "truth" else None


@lru_cache(maxsize=1)
def programs() -> tuple[Program, ...]:
    """Every program that is known."""
    listed = yaml.safe_load(KNOWN.read_text())
    return tuple(
        Program(image, {name: kind for kind, names in kinds.items() for name in names.split()})
        for image, kinds in listed.items()
    )


def program_of(container: Container) -> Program | None:
    """The program that a container's arguments go to, where its version's options are known."""
    started = container.data.get("command") or [""]
    if str(started[0]).rpartition("/")[2] in SHELLS:
        return None
    image = container.image.partition("@")[0]
    return next((each for each in programs() if re.search(rf"(^|/){re.escape(each.image)}(\.\d+)*$", image)), None)


def fits(kind: str, value: str) -> bool:
    """Whether a value is one that an option of this kind takes."""
    if kind == "quantity":
        return quantity(value) is not None
    return kind not in SHAPES or SHAPES[kind].fullmatch(value) is not None
