"""The server's own lines: on stderr, with the time, as a container's log wants them."""

import sys
from datetime import UTC, datetime


def say(text: str) -> None:
    """Write one line at once."""
    now = datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    print(f"{now}: {text}", file=sys.stderr, flush=True)
