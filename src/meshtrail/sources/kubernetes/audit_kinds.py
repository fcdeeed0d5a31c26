"""What a call of the API is about: a closed table of resources and what is done to them.

Whether a call had an effect is not asked here: who tried to change a policy and was refused is
found where changes of policies are.
"""

from __future__ import annotations

import re
from typing import Final

from meshtrail.model.event import Kind
from meshtrail.sources.kubernetes.mesh_names import is_mesh_config, is_trust_root

READS: Final = frozenset({"get", "list", "watch", "head", "options", "watchlist"})
"""Verbs that change nothing."""

_SESSIONS: Final = {
    ("pods", "exec"): Kind.EXEC,
    ("pods", "attach"): Kind.ATTACH,
    ("pods", "portforward"): Kind.PORT_FORWARD,
}
"""These have the verb ``get`` when they are opened as a WebSocket, and act all the same."""

_WRITES: Final = {
    ("pods", "ephemeralcontainers"): Kind.EPHEMERAL_CONTAINER,
    ("serviceaccounts", "token"): Kind.TOKEN_REQUEST,
}

_GOVERNING_GROUPS: Final = (
    *("istio.io", "linkerd.io", "cilium.io", "kuma.io", "consul.hashicorp.com"),
    *("gateway.networking.k8s.io", "gateway.networking.x-k8s.io", "gateway.envoyproxy.io"),
    *("policy.networking.k8s.io", "networking.k8s.io", "rbac.authorization.k8s.io"),
    *("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"),
    *("certificates.k8s.io", "cert-manager.io", "projectcalico.org", "spire.spiffe.io"),
    *("kyverno.io", "gatekeeper.sh", "argoproj.io", "toolkit.fluxcd.io"),
)
"""API groups, and those below them, whose objects govern a mesh, or who may govern it."""

_REPORTING: Final = frozenset(
    {"ciliumendpoints", "ciliumendpointslices", "ciliumidentities", "ciliumnodes"}
    | {"dataplanes", "dataplaneinsights", "zoneinsights", "meshinsights", "serviceinsights"}
    | {"zoneingressinsights", "zoneegressinsights", "meshserviceinsights"}
    | {"certificaterequests", "orders", "challenges"}
    | {"ipamblocks", "ipamhandles", "blockaffinities", "workloadendpoints"}
)
"""In governing groups: what agents write down of themselves, all the time."""

_GOVERNING_CORE: Final = frozenset({"services", "namespaces", "serviceaccounts"})
"""Of the core group: their labels and ports select and govern. Of ConfigMaps and Secrets only those
that a mesh or the cluster reads do, by name."""

_INFRASTRUCTURE_CORE: Final = frozenset(
    {"nodes", "events", "endpoints", "replicationcontrollers", "persistentvolumes"}
    | {"persistentvolumeclaims", "resourcequotas", "limitranges"}
)
_INFRASTRUCTURE_GROUPS: Final = frozenset(
    {"apps", "extensions", "batch", "autoscaling", "policy", "events.k8s.io", "discovery.k8s.io"}
    | {"scheduling.k8s.io", "node.k8s.io", "storage.k8s.io"}
)
_POD_PARTS: Final = frozenset({"", "status", "binding", "eviction", "resize"})
_GOVERNING_PARTS: Final = frozenset({"", "finalize", "approval"})
"""What of a governing object may be written to; its status says what became of it, and governs
nothing."""

_KUBELET: Final = re.compile(r"/api/v1/nodes/[^/]+/proxy/(exec|run|attach|portForward)\b")
"""A call of a node's kubelet through the API server, which does what the pod's own would."""
_KUBELET_KINDS: Final = {
    "exec": Kind.EXEC,
    "run": Kind.EXEC,
    "attach": Kind.ATTACH,
    "portForward": Kind.PORT_FORWARD,
}


def kind_of(
    *,
    group: str,
    resource: str,
    subresource: str = "",
    name: str = "",
    verb: str,
    path: str | None = None,
) -> Kind:
    """The kind of the event of a call.

    Args:
        group: API group, empty for the core group.
        resource: plural, lower case; empty for paths that are no resource.
        subresource: empty for the object itself.
        name: of the object.
        verb: as the API server calls it.
        path: of the request.
    """
    session = _SESSIONS.get((resource, subresource)) if not group else None
    if session is not None:
        return session
    if resource == "nodes" and subresource == "proxy" and path is not None:
        call = _KUBELET.match(path)
        if call is not None:
            return _KUBELET_KINDS[call[1]]
    if verb in READS or not resource:
        return Kind.API_CALL
    if not group:
        return _kind_of_core(resource, subresource, name)
    return _kind_of_group(group, resource, subresource)


def is_below(group: str, groups: tuple[str, ...]) -> bool:
    """Whether an API group is one of some, or below one: security.istio.io is below istio.io."""
    return group in groups or group.endswith(tuple(f".{name}" for name in groups))


def _kind_of_core(resource: str, subresource: str, name: str) -> Kind:
    written = _WRITES.get((resource, subresource))
    if written is not None:
        return written
    if resource == "pods" and subresource in _POD_PARTS:
        return Kind.WORKLOAD
    governs = resource in _GOVERNING_CORE or is_mesh_config(resource, name)
    if (governs or is_trust_root(resource, name)) and subresource in _GOVERNING_PARTS:
        return Kind.CONFIG_CHANGE
    return Kind.INFRASTRUCTURE if resource in _INFRASTRUCTURE_CORE else Kind.API_CALL


def _kind_of_group(group: str, resource: str, subresource: str) -> Kind:
    if is_below(group, _GOVERNING_GROUPS):
        if resource in _REPORTING:
            return Kind.INFRASTRUCTURE
        return Kind.CONFIG_CHANGE if subresource in _GOVERNING_PARTS else Kind.API_CALL
    return Kind.INFRASTRUCTURE if group in _INFRASTRUCTURE_GROUPS else Kind.API_CALL
