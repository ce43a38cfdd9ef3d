"""Pod network and NetworkPolicy for a small kind cluster, one per node (hostNetwork, stdlib only).

Network: a ptp CNI config for this node's podCIDR, a route per other node, masquerade for what leaves the pods.
Policy: networking.k8s.io/v1 compiled to one nftables table, replaced in one transaction on every change.
"""

import ipaddress, json, os, ssl, subprocess, threading, time, urllib.request

NODE, POD_CIDR = os.environ["NODE_NAME"], os.environ["POD_SUBNET"]
ENFORCE = os.environ.get("ENFORCE", "true") == "true"
API = "https://%s:%s" % (os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"])
SA = "/var/run/secrets/kubernetes.io/serviceaccount/"
TLS = ssl.create_default_context(cafile=SA + "ca.crt")
PATHS = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}
store, synced, dirty, lock = {k: {} for k in PATHS}, set(), threading.Event(), threading.Lock()


def get(path, timeout):
    req = urllib.request.Request(API + path, headers={"Authorization": "Bearer " + open(SA + "token").read()})
    return urllib.request.urlopen(req, context=TLS, timeout=timeout)


def reflect(kind):
    """List, then watch, forever."""
    while True:
        try:
            body = json.load(get(PATHS[kind] + "?resourceVersion=0", 10))
            with lock:
                store[kind] = {o["metadata"]["uid"]: o for o in body["items"]}
                synced.add(kind)
            dirty.set()
            url = PATHS[kind] + "?watch=1&timeoutSeconds=240&resourceVersion=" + body["metadata"]["resourceVersion"]
            for line in get(url, 250):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    break
                o = event["object"]
                with lock:
                    if event["type"] == "DELETED":
                        store[kind].pop(o["metadata"]["uid"], None)
                    else:
                        store[kind][o["metadata"]["uid"]] = o
                dirty.set()
        except Exception as e:  # the API server is away: keep the last rules, try again
            print(kind, repr(e), flush=True)
        time.sleep(1)


def selects(selector, labels):
    """A LabelSelector; {} selects everything, None nothing."""
    if selector is None:
        return False
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    for e in selector.get("matchExpressions") or []:
        key, op, values = e["key"], e["operator"], e.get("values") or []
        if not {
            "In": labels.get(key) in values and key in labels,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[op]:
            return False
    return True


def labels(o):
    return o["metadata"].get("labels") or {}


def live_pods():
    """Pods that own an address: a finished pod's may already be another's."""
    return [
        p
        for p in store["pods"].values()
        if not p["spec"].get("hostNetwork")
        and p.get("status", {}).get("podIP")
        and p["status"].get("phase") not in ("Succeeded", "Failed")
    ]


def peer_pods(peer, namespace, pods):
    ns_labels = {n["metadata"]["name"]: labels(n) for n in store["namespaces"].values()}
    for p in pods:
        ns = p["metadata"]["namespace"]
        if "namespaceSelector" in peer:
            if not selects(peer["namespaceSelector"], ns_labels.get(ns, {})):
                continue
        elif ns != namespace:
            continue
        if selects(peer.get("podSelector", {}), labels(p)):
            yield p


def port_number(pod, name, proto):
    containers = pod["spec"]["containers"] + [
        c for c in pod["spec"].get("initContainers") or [] if c.get("restartPolicy") == "Always"
    ]
    return next(
        (
            q["containerPort"]
            for c in containers
            for q in c.get("ports") or []
            if q.get("name") == name and q.get("protocol", "TCP") == proto
        ),
        None,
    )


def port_match(port, pod):
    """The nft match of one policy port; a named one is looked up in the pod that receives."""
    proto, number = port.get("protocol", "TCP"), port.get("port")
    if isinstance(number, str):
        number = port_number(pod, number, proto) if pod else None
        if number is None:
            return None
    match = "meta l4proto %s" % proto.lower()
    if number is not None:
        match += " th dport %s" % ("%d-%d" % (number, port["endPort"]) if port.get("endPort") else number)
    return match


def rule_lines(rule, way, policy, me, pods):
    """nft rules that let through what one ingress (saddr) or egress (daddr) rule allows."""
    side, peers = ("saddr", rule.get("from")) if way == "ingress" else ("daddr", rule.get("to"))
    blocks, chosen = [], {}
    for peer in peers or []:
        if "ipBlock" in peer:
            b = peer["ipBlock"]
            if ":" not in b["cidr"]:
                less = " ip %s != { %s }" % (side, ", ".join(b["except"])) if b.get("except") else ""
                blocks.append("ip %s %s%s" % (side, b["cidr"], less))
        else:
            chosen.update({p["status"]["podIP"]: p for p in peer_pods(peer, policy["metadata"]["namespace"], pods)})
    named = way == "egress" and any(isinstance(p.get("port"), str) for p in rule.get("ports") or [])
    if not peers:
        if named:
            chosen = {p["status"]["podIP"]: p for p in pods}
        else:
            blocks.append("")
    for port in rule.get("ports") or [None]:
        if way == "egress" and port and isinstance(port.get("port"), str):
            for ip, p in sorted(chosen.items()):
                m = port_match(port, p)
                if m:
                    yield "ip daddr %s %s return" % (ip, m)
            continue
        m = port_match(port, me) if port else ""
        if m is None:
            continue
        matches = list(blocks) if not (named and not peers) else [""]
        if chosen and (peers or not named):
            matches.append("ip %s { %s }" % (side, ", ".join(sorted(chosen))))
        for x in matches:
            yield " ".join((x + " " + m + " return").split())


def compile_policies():
    """The chains of every pod of this node that some policy isolates."""
    pods = live_pods()
    chains, jumps = [], {"ingress": [], "egress": []}
    mine = sorted((p for p in pods if p["spec"].get("nodeName") == NODE), key=lambda p: p["status"]["podIP"])
    for me in mine:
        ip = me["status"]["podIP"]
        for way, self_side in (("ingress", "saddr"), ("egress", "daddr")):
            policies = [
                n
                for n in store["policies"].values()
                if n["metadata"]["namespace"] == me["metadata"]["namespace"]
                and way.capitalize() in n["spec"].get("policyTypes", ["Ingress"])
                and selects(n["spec"].get("podSelector", {}), labels(me))
            ]
            if not policies:
                continue
            name = "%s_%s" % (way, ip.replace(".", "_"))
            lines = ["ip %s %s return" % (self_side, ip)]  # a pod always reaches itself
            for n in sorted(policies, key=lambda n: n["metadata"]["name"]):
                for rule in n["spec"].get(way) or []:
                    lines += rule_lines(rule, way, n, me, pods)
            chains.append("chain %s {\n  %s\n  counter drop\n }" % (name, "\n  ".join(lines)))
            jumps[way].append("%s : jump %s" % (ip, name))
    known = [p["status"]["podIP"] for p in mine]
    return chains, jumps, known


def ruleset(my_cidr):
    chains, jumps, known = compile_policies() if ENFORCE and synced >= set(PATHS) else ([], {}, None)
    forward = ["ct state established,related accept"]
    if known is not None:  # an address whose pod isn't known yet stays closed, it may be isolated
        for side in "saddr", "daddr":
            forward.append(
                "ip %s %s%s drop" % (side, my_cidr, " ip %s != { %s }" % (side, ", ".join(known)) if known else "")
            )
    for way, side in (("egress", "saddr"), ("ingress", "daddr")):
        if jumps.get(way):
            forward.append("ip %s vmap { %s }" % (side, ", ".join(jumps[way])))
    return (
        "table ip podnet\ndelete table ip podnet\ntable ip podnet {\n %s\n chain forward {\n  type filter hook forward priority 5; policy accept;\n  %s\n }\n"
        " chain postrouting {\n  type nat hook postrouting priority 110;\n  ip saddr %s ip daddr != %s masquerade\n }\n}\n"
        % ("\n ".join(chains), "\n  ".join(forward), my_cidr, POD_CIDR)
    )


def routes():
    """This node's CNI config, once its podCIDR is known, and the way to every other node's pods."""
    my_cidr = None
    for n in store["nodes"].values():
        cidr = n["spec"].get("podCIDR")
        ip = next((a["address"] for a in n["status"].get("addresses", []) if a["type"] == "InternalIP"), None)
        if not cidr or not ip:
            continue
        if n["metadata"]["name"] != NODE:
            subprocess.run(["ip", "route", "replace", cidr, "via", ip], check=True)
            continue
        my_cidr, path = cidr, "/etc/cni/net.d/10-pods.conflist"
        conf = json.dumps(
            {
                "cniVersion": "0.4.0",
                "name": "pods",
                "plugins": [
                    {
                        "type": "ptp",
                        "ipMasq": False,
                        "ipam": {
                            "type": "host-local",
                            "dataDir": "/run/cni-ipam",
                            "ranges": [[{"subnet": cidr}]],
                            "routes": [{"dst": "0.0.0.0/0"}],
                        },
                    },
                    {"type": "portmap", "capabilities": {"portMappings": True}},
                ],
            }
        )
        if not os.path.exists(path) or open(path).read() != conf:
            with open(path + ".tmp", "w") as f:
                f.write(conf)
            os.rename(path + ".tmp", path)
    return my_cidr


def main():
    for kind in PATHS:
        threading.Thread(target=reflect, args=(kind,), daemon=True).start()
    last = None
    while True:
        dirty.wait()
        dirty.clear()
        with lock:
            my_cidr = routes()
            rules = ruleset(my_cidr) if my_cidr else None
        if rules and rules != last:
            t = time.time()
            done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True)
            if done.returncode:
                print("nft:", done.stderr, rules, flush=True)
                time.sleep(1)
                dirty.set()
            else:
                print("applied %d lines in %.0f ms" % (rules.count("\n"), (time.time() - t) * 1000), flush=True)
                last = rules
        time.sleep(0.1)


if __name__ == "__main__":
    main()
