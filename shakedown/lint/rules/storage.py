import posixpath
import re
from collections.abc import Iterable

from shakedown.lint.objects import Obj, dig, tree, trees
from shakedown.lint.quantity import quantity
from shakedown.lint.rule import Problem, Problems, kinds, rule
from shakedown.lint.scrape import operated_claims
from shakedown.lint.workload import REPLICATED
from shakedown.lint.world import World

SHARED = {"ReadWriteMany", "ReadOnlyMany"}
MODES = {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"}


def servers(world: World) -> Iterable[Obj]:
    """Workloads that run the model server."""
    return world.servers


def importers(world: World) -> Iterable[Obj]:
    """Jobs that write to a claim that a model server mounts."""
    stores = {(s.namespace, claim) for s in map(world.workloads.get, world.servers) if s for claim in s.claims}
    jobs = (world.workloads[job] for job in world.of("Job", "CronJob"))
    return [w.obj for w in jobs if any((w.namespace, claim) in stores for claim in w.claims)]


@rule("claim-fits-replicas", kinds("PersistentVolumeClaim"), why="with ReadWriteOnce, pods on other nodes never start")
def _claim_fits_replicas(obj: Obj, world: World) -> Problems:
    modes = set(obj.spec.get("accessModes") or [])
    if not modes or modes - MODES:
        yield Problem("spec.accessModes", f"{sorted(modes)} is no access mode", f"use {', '.join(sorted(SHARED))}")
    users = [w for w in world.workloads_in.get(obj.namespace, []) if obj.name in w.claims]
    pods = sum(world.most(w.obj) if w.obj.kind in REPLICATED else 1 for w in users)
    if pods > 1 and not modes & SHARED:
        names = ", ".join(str(w.obj) for w in users)
        yield Problem(
            "spec.accessModes", f"{sorted(modes)} and up to {pods} pods mount it ({names})", "use ReadWriteMany"
        )
    writers = [w for w in users if w.obj.kind in {"Job", "CronJob"}]
    if writers and modes == {"ReadOnlyMany"}:
        yield Problem("spec.accessModes", f"is read only and {writers[0].obj} writes to it", "use ReadWriteMany")
    if not users:
        yield Problem("metadata.name", "no pod mounts it", "mount it, or drop it")


@rule("claim-finds-volume", kinds("PersistentVolumeClaim"), why="a claim that nothing can bind leaves its pods Pending")
def _claim_finds_volume(obj: Obj, world: World) -> Problems:
    wanted = quantity(dig(obj.spec, "resources", "requests", "storage"))
    if wanted is None or wanted <= 0:
        yield Problem("spec.resources.requests.storage", "names no size", "request a size, such as 10Gi")
    if obj.spec.get("storageClassName") != "" and "volumeName" not in obj.spec:
        return  # a storage class makes the volume
    fitting = [v for v in world.of("PersistentVolume") if obj.spec.get("volumeName", v.name) == v.name]
    for volume in fitting:
        size = quantity(dig(volume.spec, "capacity", "storage"))
        if (
            set(obj.spec.get("accessModes") or []) <= set(volume.spec.get("accessModes") or [])
            and size
            and size >= (wanted or 0)
        ):
            return
    there = {
        v.name: (v.spec.get("accessModes"), dig(v.spec, "capacity", "storage")) for v in world.of("PersistentVolume")
    }
    yield Problem("spec", "no rendered PersistentVolume has its name, access modes and size", f"match one of {there}")


@rule(
    "volume-finds-claim", kinds("PersistentVolume"), why="a volume that belongs to a claim of another name stays unused"
)
def _volume_finds_claim(obj: Obj, world: World) -> Problems:
    ref = tree(obj.spec.get("claimRef"))
    namespace, name = str(ref.get("namespace")), str(ref.get("name"))
    claim = world.find("PersistentVolumeClaim", namespace, name)
    wanted = claim.spec if claim else operated_claims(world).get((namespace, name))
    if ref and wanted is None:
        yield Problem("spec.claimRef", f"{namespace}/{name} is not rendered", "name the claim")
    own = obj.spec.get("storageClassName", "")
    if wanted and wanted.get("storageClassName", own) != own:
        yield Problem("spec.storageClassName", f"is not the one of claim {namespace}/{name}", "give both the same")
    if obj.spec.get("persistentVolumeReclaimPolicy", "Retain") != "Retain":
        yield Problem("spec.persistentVolumeReclaimPolicy", "deletes the models with the claim", "use Retain")


@rule("store-mounted-read-only", servers, why="a server that can write can destroy the models of all replicas")
def _store_mounted_read_only(obj: Obj, world: World) -> Problems:
    server = world.servers[obj]
    for mount in trees(server.container.data.get("volumeMounts")):
        volume = tree(server.workload.volumes.get(str(mount.get("name"))))
        claim = tree(volume.get("persistentVolumeClaim"))
        if claim and not mount.get("readOnly") and not claim.get("readOnly"):
            yield Problem(
                f"{server.container.field}.volumeMounts[{mount.get('name')}]", "is writable", "set readOnly: true"
            )


@rule("import-has-files", importers, why="a ConfigMap holds no directories: copying a model tree from one fails")
def _import_has_files(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for container in workload.all_containers:
        text = world.script(workload, container)
        for mount in trees(container.data.get("volumeMounts")):
            volume = tree(workload.volumes.get(str(mount.get("name"))))
            path = str(mount.get("mountPath")).rstrip("/")
            copies = re.search(rf"\b(cp|rsync)\b[^\n;|&]*\s{re.escape(path)}/", text)
            if "configMap" in volume and copies:
                yield Problem(
                    f"{container.field}.args",
                    f"copies from {path}, where ConfigMap {dig(volume, 'configMap', 'name')} is mounted",
                    "bring the model in an image or from object storage",
                )


@rule("import-renames", importers, why="the server picks up a half-copied version as it is (tensorflow/serving#1086)")
def _import_renames(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    for container in workload.all_containers:
        text = world.script(workload, container)
        copies = any(word in text for word in ("cp ", "rsync ", "tar ", "wget ", "gsutil ", "aws s3"))
        if copies and "mv " not in text:
            yield Problem(
                f"{container.field}.args", "copies straight to where the server looks", "copy beside it, then mv"
            )


@rule(
    "import-writes-to-store",
    importers,
    why="an import that can't write leaves the servers waiting for a model for ever",
)
def _import_writes_to_store(obj: Obj, world: World) -> Problems:
    workload = world.workloads[obj]
    bases = {posixpath.dirname(base) for s in world.servers.values() for base in [(s.model or ("", ""))[1]] if base}
    stores = {claim for s in world.servers for claim in world.workloads[s].claims}
    for container in workload.all_containers:
        for mount in trees(container.data.get("volumeMounts")):
            claim = tree(dig(workload.volumes, str(mount.get("name")), "persistentVolumeClaim"))
            if claim.get("claimName") not in stores:
                continue
            field = f"{container.field}.volumeMounts[{mount.get('name')}]"
            if mount.get("readOnly") or claim.get("readOnly"):
                yield Problem(field, "is read only", "drop readOnly: the Job writes the models")
            path = str(mount.get("mountPath"))
            if path not in world.script(workload, container):
                yield Problem(
                    field, f"{path} is not where the command writes", "mount the store where the command writes"
                )
            if bases and not any(base.startswith(path) for base in bases) and "subPath" not in mount:
                yield Problem(
                    field, f"{path} is not where the servers read ({sorted(bases)})", "mount it at the same path"
                )
