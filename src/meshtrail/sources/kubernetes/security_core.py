"""What changes of namespaces, services, pods and the like do to security.

These are of no mesh, but meshes are steered by their labels: who has a proxy, and who has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.sources.kubernetes.json_parts import (
    is_stated,
    objects_of,
    part_of,
    text_of,
    texts_of,
)
from meshtrail.sources.kubernetes.mesh_names import is_copied, is_mesh_config, is_trust_root
from meshtrail.sources.kubernetes.security_change import (
    Found,
    Rule,
    SecurityChange,
    annotation_of,
    compare_levels,
    label_of,
)
from meshtrail.sources.kubernetes.security_istio import mesh_config

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json
    from meshtrail.sources.kubernetes.security_change import Change

_INJECTING: Final = {
    "istio-injection": {"enabled"},
    "sidecar.istio.io/inject": {"true"},
    "istio.io/dataplane-mode": {"ambient"},
    "linkerd.io/inject": {"enabled", "ingress"},
    "kuma.io/sidecar-injection": {"enabled", "true"},
    "consul.hashicorp.com/connect-inject": {"true"},
}
"""By label or annotation: the values with which pods get a proxy. Others switch it off."""

_REVISION: Final = "istio.io/rev"
_POD_SECURITY: Final = "pod-security.kubernetes.io/enforce"
_POD_SECURITY_LEVELS: Final = {"privileged": 0, "baseline": 1, "restricted": 2}
_DOORS: Final = {"NodePort": 1, "LoadBalancer": 2}
_HOST_PARTS: Final = ("hostNetwork", "hostPID", "hostIPC")
_STRONG_CAPABILITIES: Final = frozenset({"ALL", "SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE"})
_SAFE_PATHS: Final = ("/var/log/pods/",)


def _namespace(change: Change) -> Found:
    if change.is_removed:
        return set()
    return _injection(change) | compare_levels(
        change,
        lambda value: _POD_SECURITY_LEVELS.get(label_of(value, _POD_SECURITY) or ""),
        top=max(_POD_SECURITY_LEVELS.values()),
        down=SecurityChange.ADMISSION_WEAKENED,
        up=SecurityChange.ADMISSION_STRENGTHENED,
    )


def _injection(change: Change) -> Found:
    had, has = (_is_injected(side) for side in (change.before, change.after))
    if has is had or (has is None and (not change.knows_before or change.is_partial)):
        return _patched_out(change)
    if has:
        return {SecurityChange.INJECTION_ENABLED}
    # A label less is only something lost where there was one that switched it on.
    return {SecurityChange.INJECTION_DISABLED} if has is False or had else set()


def _patched_out(change: Change) -> Found:
    """A patch takes a label away by null."""
    if not change.is_partial:
        return set()
    metadata = part_of(change.after, "metadata")
    stated = {**part_of(metadata, "labels"), **part_of(metadata, "annotations")}
    is_lost = any(name in stated and stated[name] is None for name in (*_INJECTING, _REVISION))
    return {SecurityChange.INJECTION_DISABLED} if is_lost else set()


def _is_injected(value: Json | None) -> bool | None:
    """Whether pods get a proxy; None where nothing is said. One that says no counts more."""
    said = [
        stated in switched_on
        for name, switched_on in _INJECTING.items()
        for stated in (label_of(value, name), annotation_of(value, name))
        if stated is not None
    ]
    if label_of(value, _REVISION) is not None:
        said.append(True)
    return all(said) if said else None


def _service(change: Change) -> Found:
    if change.is_removed:
        had = _door(change.before) if change.before is not None else 0
        return {SecurityChange.UNEXPOSED} if had else set()
    had, has = (_door(side) for side in (change.before, change.after))
    found: Found = set()
    if change.knows_before and change.before is not None:
        if has != had:
            found.add(SecurityChange.EXPOSED if has > had else SecurityChange.UNEXPOSED)
        if change.differs("spec.selector", "spec.externalName", "spec.ports"):
            found.add(SecurityChange.REROUTED)
    elif has:
        found.add(SecurityChange.EXPOSED)
    return found


def _door(value: Json | None) -> int:
    """How far a service opens the cluster to the outside."""
    is_external = bool(texts_of(value, "spec", "externalIPs"))
    return max(_DOORS.get(text_of(value, "spec", "type") or "", 0), int(is_external))


def _pod(change: Change) -> Found:
    return _workload(change, spec_path=("spec",), metadata_path=())


def _template(change: Change) -> Found:
    if change.is_removed:
        return set()
    path = ("spec", "template")
    return _workload(change, spec_path=(*path, "spec"), metadata_path=path)


def _cron_job(change: Change) -> Found:
    path = ("spec", "jobTemplate", "spec", "template")
    return _workload(change, spec_path=(*path, "spec"), metadata_path=path)


def _workload(
    change: Change, *, spec_path: tuple[str, ...], metadata_path: tuple[str, ...]
) -> Found:
    if change.is_removed:
        return set()
    found: Found = set()
    was, is_now = (
        _privileges(part_of(side, *spec_path)) if side is not None else set()
        for side in (change.before, change.after)
    )
    if is_now - was:
        found.add(SecurityChange.PRIVILEGED_WORKLOAD)
    before, after = (
        part_of(side, *metadata_path) if side is not None else None
        for side in (change.before, change.after)
    )
    if _is_injected(after) is False and _is_injected(before) is not False:
        found.add(SecurityChange.INJECTION_DISABLED)
    return found


def _privileges(spec: Json) -> set[str]:
    """What of the node's a pod shares."""
    found = {name for name in _HOST_PARTS if spec.get(name) is True}
    for volume in objects_of(spec, "volumes"):
        path = text_of(volume, "hostPath", "path")
        if path is not None and not path.startswith(_SAFE_PATHS):
            found.add(f"hostPath:{path}")
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in objects_of(spec, kind):
            context = part_of(container, "securityContext")
            if context.get("privileged") is True:
                found.add("privileged")
            added = texts_of(context, "capabilities", "add")
            found |= {name for name in added if name.removeprefix("CAP_") in _STRONG_CAPABILITIES}
    return found


def _named_object(change: Change) -> Found:
    """A ConfigMap or Secret: only its name says what it is for."""
    names = ("data", "stringData", "binaryData")
    if is_trust_root(change.resource, change.name):
        if change.is_created and is_copied(change.name):
            return set()
        is_known = change.knows_before and not change.is_created and not change.is_removed
        is_kept = is_known and not change.differs(*names)
        return set() if is_kept else {SecurityChange.TRUST_ROOT_CHANGED}
    if not is_mesh_config(change.resource, change.name):
        return set()
    if change.name == "istio" or change.name.startswith("istio-"):
        is_mesh = change.is_removed or is_stated(change.after, "data", "mesh")
        if is_mesh:
            return mesh_config(change)
    if change.name == "coredns":
        return {SecurityChange.REROUTED} if change.touches_spec else set()
    return {SecurityChange.UNCLEAR} if change.touches_spec else set()


RULES: Final[dict[tuple[str, str], Rule]] = {
    ("", "namespaces"): _namespace,
    ("", "services"): _service,
    ("", "pods"): _pod,
    ("", "configmaps"): _named_object,
    ("", "secrets"): _named_object,
    ("", "replicationcontrollers"): _template,
    ("batch", "jobs"): _template,
    ("batch", "cronjobs"): _cron_job,
    **{
        (group, resource): _template
        for group in ("apps", "extensions")
        for resource in ("deployments", "daemonsets", "statefulsets", "replicasets")
    },
}
"""By API group, which is empty for the core, and resource."""
