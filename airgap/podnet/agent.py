"""The agent of one node: watches the cluster, and keeps routes, CNI configuration and policy table as it should be.

Each pod has a point-to-point link, so that every packet between pods is forwarded and judged; each other node has a
route; what leaves the pod subnet is masqueraded. The configuration is in the environment, see main().
"""

import http.client
import json
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from airgap.podnet.policy import ruleset
from airgap.podnet.state import Object, State, state_of

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONFLIST = Path("/etc/cni/net.d/10-pods.conflist")
PATHS = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}
LIST_TIMEOUT_S = 10
WATCH_S = 240  # the server ends a watch after so long
WATCH_TIMEOUT_S = WATCH_S + 10
RETRY_S = 1.0
PAUSE_S = 0.1  # changes come in bursts


class Mirror:
    """A copy of the cluster's objects, kept current by one thread per kind."""

    def __init__(self, host: str, port: int) -> None:
        self.dirty = threading.Event()
        self._host, self._port = host, port
        self._tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._objects: dict[str, dict[str, Object]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to watch."""
        for kind in PATHS:
            threading.Thread(target=self._follow_forever, args=(kind,), daemon=True).start()

    def nodes(self) -> list[Object]:
        """The nodes known so far."""
        with self._lock:
            return list(self._objects.get("nodes", {}).values())

    def state(self) -> State | None:
        """What policies are compiled from; None until every kind has been listed."""
        with self._lock:
            if set(self._objects) != set(PATHS):
                return None
            return state_of(*(list(self._objects[kind].values()) for kind in ("pods", "namespaces", "policies")))

    def _follow_forever(self, kind: str) -> None:
        while True:
            try:
                self._follow(kind)
            except (OSError, ValueError, http.client.HTTPException) as error:
                # the API server is away: the last rules stay in force
                print(f"{kind}: {error!r}", flush=True)
            time.sleep(RETRY_S)

    def _follow(self, kind: str) -> None:
        """List, then watch until the watch ends."""
        listed = json.load(self._get(f"{PATHS[kind]}?resourceVersion=0", LIST_TIMEOUT_S))
        with self._lock:
            self._objects[kind] = {item["metadata"]["uid"]: item for item in listed["items"]}
        self.dirty.set()
        version = listed["metadata"]["resourceVersion"]
        watch = f"{PATHS[kind]}?watch=1&timeoutSeconds={WATCH_S}&resourceVersion={version}"
        for line in self._get(watch, WATCH_TIMEOUT_S):
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            self._note(kind, event)

    def _note(self, kind: str, event: Object) -> None:
        """Take over one event of a watch."""
        uid = event["object"]["metadata"]["uid"]
        with self._lock:
            if event["type"] == "DELETED":
                self._objects[kind].pop(uid, None)
            else:
                self._objects[kind][uid] = event["object"]
        self.dirty.set()

    def _get(self, path: str, timeout_s: float) -> http.client.HTTPResponse:
        """Ask the API server; the token is read anew because the kubelet renews it."""
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._tls)
        token = (ACCOUNT / "token").read_text()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise OSError(f"{path}: {response.status} {response.reason}")
        return response


def connect_nodes(nodes: Iterable[Object], own_name: str) -> str | None:
    """Route to every other node's pods and configure CNI for this node's; its pod CIDR, once it has one."""
    own_cidr = None
    for node in nodes:
        cidr = node["spec"].get("podCIDR")
        addresses = node["status"].get("addresses", [])
        address = next((a["address"] for a in addresses if a["type"] == "InternalIP"), None)
        if not cidr or not address:
            continue
        if node["metadata"]["name"] == own_name:
            own_cidr = cidr
            write_conflist(cidr)
        else:
            subprocess.run(["ip", "route", "replace", cidr, "via", address], check=True)
    return own_cidr


def write_conflist(cidr: str) -> None:
    """Write the CNI configuration unless it is as it should be; the runtime must never read half of it."""
    wanted = json.dumps(conflist(cidr))
    if CONFLIST.exists() and CONFLIST.read_text() == wanted:
        return
    beside = CONFLIST.with_suffix(".tmp")
    beside.write_text(wanted)
    beside.rename(CONFLIST)


def conflist(cidr: str) -> Object:
    """A link per pod, not a bridge: packets between two pods of a node are then forwarded like all others.

    Leases are kept in /run, and so vanish with a restart of the node, as the pods do.
    """
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam",
        "ranges": [[{"subnet": cidr}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def apply(rules: str) -> bool:
    """Replace the table; False, with the reason printed, when nft refuses."""
    started = time.monotonic()
    done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"nft refuses: {done.stderr}\n{rules}", flush=True)
        return False
    print(f"applied {rules.count(chr(10))} lines in {(time.monotonic() - started) * 1000:.0f} ms", flush=True)
    return True


def main() -> None:
    """Follow the cluster for ever. NODE_NAME and POD_SUBNET come from the DaemonSet, the rest from the kubelet."""
    node, pod_subnet = os.environ["NODE_NAME"], os.environ["POD_SUBNET"]
    mirror = Mirror(os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"]))
    mirror.start()
    applied = None
    while True:
        mirror.dirty.wait()
        mirror.dirty.clear()
        cidr = connect_nodes(mirror.nodes(), node)
        rules = ruleset(mirror.state(), node, cidr, pod_subnet) if cidr else None
        if rules and rules != applied:
            if apply(rules):
                applied = rules
            else:
                mirror.dirty.set()
                time.sleep(RETRY_S)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
