"""A container that runs out of memory."""

from dataclasses import dataclass

from shakedown.faults.guard import Radius
from shakedown.faults.pods import Victim
from shakedown.faults.undo import AnyAct
from shakedown.wait import NotYet

# Fills the container's own memory group from the node, by a program that keeps what it reads, until the kernel ends the
# container's process, which is made its first choice. It stops by itself when that has happened, or after 10 s.
FILL = r"""
set -m
pid=${1%:*}
root=/sys/fs/cgroup
group=$root/memory$(sed -n 's/^[0-9]*:memory://p' "/proc/$pid/cgroup")
[ -e "$group/memory.limit_in_bytes" ] || group=$root$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
limit=$(cat "$group/memory.limit_in_bytes" 2>/dev/null || cat "$group/memory.max")
[ "$limit" -lt 1000000000000 ] 2>/dev/null || { echo "no memory limit: $limit" >&2; exit 1; }
echo 1000 > "/proc/$pid/oom_score_adj"
bash -c 'echo $$ > "$1/cgroup.procs"; head -c "$2" /dev/zero | tail -c "$2" > /dev/null' bash "$group" "$limit" &
filler=$!
for _ in $(seq 100); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
kill -KILL -- "-$filler" 2>/dev/null || true
"""


@dataclass(frozen=True)
class OutOfMemory:
    """A pod's first container reaches its memory limit, and the kernel ends its process."""

    victim: Victim
    process: str

    name: str = "out-of-memory"
    undo: tuple[AnyAct, ...] = ()

    @property
    def target(self) -> str:
        """The pod."""
        return str(self.victim)

    @property
    def radius(self) -> Radius:
        """One pod."""
        return self.victim.radius

    def inject(self) -> None:
        """Fill it up."""
        self.victim.on_node("bash", "-c", FILL, "bash", self.process)

    def prove(self) -> str:
        """The kubelet says that the container was killed for its memory."""
        status = self.victim.container()
        ended = status["state"].get("terminated") or status.get("lastState", {}).get("terminated") or {}
        if status["restartCount"] <= self.victim.pod.restarts and "terminated" not in status["state"]:
            raise NotYet(f"{self.target} has had {status['restartCount']} restarts, as before")
        if ended.get("reason") != "OOMKilled":
            raise NotYet(f"{self.target} ended by {ended.get('reason')}, exit code {ended.get('exitCode')}")
        return f"{self.target} was killed for its memory, exit code {ended['exitCode']}"
