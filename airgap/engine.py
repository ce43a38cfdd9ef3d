"""A Docker engine: the one that answers, else Debian's, started here with its data in the cache folder."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from filelock import FileLock

from airgap import cache, host
from airgap.cache import BuildError
from airgap.progress import say, step
from airgap.run import run, tail

# programs that dockerd needs, and the Debian packages they come in
PROGRAMS = {"dockerd": "docker.io", "docker": "docker.io", "iptables": "iptables", "runc": "runc"}
ANSWER_S = 20.0  # an engine that is up answers in milliseconds; a busy machine gets time
START_S = 60.0  # measured: 6 s
STOP_S = 30.0
DISK_GIB = 5.0  # an engine alone; a cold build asks for its own
CAP_SYS_RESOURCE = 24  # the bit's number, from linux/capability.h
BOUNDED = Path(__file__).parent / "node" / "bounded-runc"


def folder() -> Path:
    """Where the engine that this project starts keeps its data, configuration, log and pid file."""
    path = cache.root() / "engine"
    path.mkdir(exist_ok=True)
    return path


def ensure() -> str:
    """The version of an engine that answers, after starting one if need be.

    Raises BuildError when none answers and none can be started; the message says what to do.
    """
    try:
        return ask()
    except BuildError as error:
        reason = str(error).splitlines()[-1].strip()
    if os.environ.get("DOCKER_HOST"):
        raise BuildError(
            f"no Docker engine at DOCKER_HOST={os.environ['DOCKER_HOST']} ({reason}): start it, or unset it"
        )
    host.require_root(f"no Docker engine answers ({reason}), and starting one")
    with FileLock(cache.root() / ".engine.lock"):
        host.require_disk(folder(), DISK_GIB, "a Docker engine")
        host.require_programs(PROGRAMS)
        return answering() or start()


def ask() -> str:
    """The version of the engine that answers the docker client. Raises BuildError when none does."""
    command = [host.find("docker") or "docker", "version", "--format", "{{.Server.Version}}"]
    return run(command, what="asking the Docker engine", timeout_s=ANSWER_S).strip()


def answering() -> str | None:
    """The version of the engine that answers, None if none does."""
    try:
        return ask()
    except BuildError:
        return None


def start() -> str:
    """Start Debian's engine so that it outlives this run, and wait until it answers."""
    child = None if running() else launch()
    with step("starting the Docker engine", 6):
        return await_answer(child)


def launch() -> subprocess.Popen[bytes]:
    """Start dockerd detached, its pid in its pid file."""
    pid_file().unlink(missing_ok=True)  # of an engine that was killed: dockerd would take its number for a running one
    config = folder() / "daemon.json"
    config.write_text(json.dumps(configuration(), indent=1))
    with (folder() / "log").open("w") as log:
        return subprocess.Popen(
            [
                *(host.find("dockerd") or "dockerd", "--config-file", config, "--data-root", folder() / "data"),
                *("--pidfile", pid_file(), "-H", "unix:///var/run/docker.sock"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def await_answer(child: subprocess.Popen[bytes] | None) -> str:
    """The engine's version once it answers; BuildError with the end of its log when it ends or takes too long."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and (child is None or child.poll() is None):
        version = answering()
        if version:
            return version
        time.sleep(0.5)
    log = folder() / "log"
    ended = (
        f"ended (exit {child.returncode})" if child and child.returncode else f"did not answer within {START_S:.0f} s"
    )
    raise BuildError(f"the Docker engine {ended}; the end of {log}:\n{tail(log.read_text(errors='replace'))}")


def configuration() -> dict[str, object]:
    """The engine's daemon.json; runc is wrapped only where this host withholds a capability that it asks for."""
    config: dict[str, object] = {"log-driver": "json-file", "log-opts": {"max-size": "50m"}}
    if not granted(CAP_SYS_RESOURCE):
        config |= {"runtimes": {"bounded": {"path": str(BOUNDED)}}, "default-runtime": "bounded"}
    return config


def granted(capability: int) -> bool:
    """Whether the capability is in the bounding set that children of this process can have."""
    status = Path("/proc/self/status").read_text()
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounding, 16) >> capability & 1)


def pid_file() -> Path:
    """The pid file of the engine that this project starts."""
    return folder() / "dockerd.pid"


def running() -> int | None:
    """The pid of the engine that this project started, if it runs: its pid file and its command line both say so."""
    try:
        pid = int(pid_file().read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(pid_file()).encode() in command else None


def stop() -> None:
    """End the engine that this project started. Raises BuildError when it doesn't end."""
    pid = running()
    if pid is None:
        say("no Docker engine of this project is running")
        return
    with step("stopping the Docker engine"):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while running() == pid:
            if time.monotonic() > deadline:
                raise BuildError(f"the Docker engine (process {pid}) did not end within {STOP_S:.0f} s")
            time.sleep(0.2)
