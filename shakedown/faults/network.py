"""What the network does to one pod: nothing passes, some of it is lost, or it is slow."""

import json
from dataclasses import dataclass

from shakedown.faults.guard import Radius
from shakedown.faults.pods import Victim
from shakedown.faults.undo import AnyAct, DropTable, Unshape
from shakedown.wait import NotYet

TABLE = "shakedown_fault"
# both ways, and before the policies of the pod network, which sit in the node's own namespace
FILTER = r"""
table inet {table} {{
 counter bitten {{}}
 chain in {{ type filter hook input priority 0; iifname lo accept; {match} counter name bitten drop; }}
 chain out {{ type filter hook output priority 0; oifname lo accept; {match} counter name bitten drop; }}
}}
"""
BITTEN = 3  # packets: a lone one might be chance


@dataclass(frozen=True)
class PacketsDropped:
    """A packet filter in a pod's own network namespace drops a share of what comes and goes; 100 % is a partition.

    The node's probes are dropped with it. It goes with the pod.
    """

    victim: Victim
    netns: str
    percent: int

    @property
    def name(self) -> str:
        """A partition has a name of its own."""
        return "pod-partitioned" if self.percent == 100 else f"packets-lost-{self.percent}-percent"

    @property
    def target(self) -> str:
        """The pod."""
        return str(self.victim)

    @property
    def radius(self) -> Radius:
        """One pod."""
        return self.victim.radius

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The filter's table is dropped whole."""
        return (DropTable(node=self.victim.pod.node, netns=self.netns, table=TABLE),)

    def inject(self) -> None:
        """Load it in one transaction."""
        match = "" if self.percent == 100 else f"numgen random mod 100 < {self.percent}"
        text = FILTER.format(table=TABLE, match=match)
        inside = ("ip", "netns", "exec", self.netns, "nft", text)
        self.victim.on_node(*inside)

    def prove(self) -> str:
        """Its counter rises."""
        inside = ("ip", "netns", "exec", self.netns, "nft", "--json", "list", "counters", "table", "inet", TABLE)
        listed = json.loads(self.victim.on_node(*inside))["nftables"]
        packets = next(entry["counter"]["packets"] for entry in listed if "counter" in entry)
        if packets < BITTEN:
            raise NotYet(f"{packets} packets dropped so far")
        return f"{self.target}: {packets} packets dropped so far"


@dataclass(frozen=True)
class NetworkSlow:
    """What a pod sends goes through a token bucket of so many kbit/s, so that each answer takes its time on the way.

    A delay by netem would say so more directly, but not every kernel has it; a token bucket every kernel has.
    """

    victim: Victim
    netns: str
    kbit: int

    name: str = "network-slow"

    @property
    def target(self) -> str:
        """The pod."""
        return str(self.victim)

    @property
    def radius(self) -> Radius:
        """One pod."""
        return self.victim.radius

    @property
    def undo(self) -> tuple[AnyAct, ...]:
        """The bucket goes."""
        return (Unshape(node=self.victim.pod.node, netns=self.netns),)

    def inject(self) -> None:
        """Put it on the pod's own end of its device; what waits longer than 5 s in it is dropped."""
        shape = ("tc", "-n", self.netns, "qdisc", "add", "dev", "eth0", "root", "tbf")
        self.victim.on_node(*shape, "rate", f"{self.kbit}kbit", "burst", "1600", "latency", "5s")

    def prove(self) -> str:
        """Packets had to wait in it."""
        shown = self.victim.on_node("tc", "-n", self.netns, "-s", "-j", "qdisc", "show", "dev", "eth0")
        waited = sum(each.get("overlimits", 0) for each in json.loads(shown) if each["kind"] == "tbf")
        if waited < BITTEN:
            raise NotYet(f"{waited} packets had to wait so far")
        return f"{self.target}: {waited} packets had to wait so far"
