"""`python -m model_server.main FLAGS`: the entry point, with tensorflow_model_server's flags and manners."""

import os
import signal
import sys
from importlib.metadata import version

from model_server import slim
from model_server.flags import BadFlagError, check, parse, usage
from model_server.log import say
from model_server.status import StatusError

FAILED = 255  # the shell's view of the C++ main's -1


def main(arguments: list[str]) -> int:
    """Serve; returns the process's exit code where that ends."""
    # The real server handles no signal. As a container's first process it so ignores SIGTERM, and serves on until the
    # grace period ends: what deployments must live with, they must meet here too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        parsed = parse(arguments)
    except BadFlagError as error:
        print(f"{error}\n{usage()}", flush=True)
        return FAILED
    if parsed.flags.version:
        print(f"TensorFlow ModelServer: {version('tensorflow-serving-api')}+shakedown")
        print(f"TensorFlow Library: {version('tensorflow-cpu')}")
        return 0
    if parsed.unknown:
        print(f"unknown argument: {parsed.unknown}\n{usage()}", flush=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        check(parsed.flags)
        slim.install()
        from model_server import server  # noqa: PLC0415  # it takes seconds, and wrong flags should not

        server.run(parsed.flags)
    except StatusError as error:
        say(f"Failed to start server. Error: {error}")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
