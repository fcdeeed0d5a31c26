"""Which resources of a Kubernetes API server matter to a mesh, and for what. Data only.

``sources.kubernetes.audit_kinds`` tells kinds of events by these tables, and ``meshtrail
emit-config kubernetes-audit`` makes the audit policy of them: what is not logged is no event.
"""

from __future__ import annotations

from typing import Final

READS: Final = frozenset({"get", "list", "watch", "head", "options", "watchlist"})
"""Verbs that change nothing."""

SESSIONS: Final = {
    ("pods", "exec"): "exec",
    ("pods", "attach"): "attach",
    ("pods", "portforward"): "port_forward",
}
"""By resource and subresource: the kind of event. These have the verb ``get`` when they are opened
as a WebSocket, and act all the same."""

WRITES: Final = {
    ("pods", "ephemeralcontainers"): "ephemeral_container",
    ("serviceaccounts", "token"): "token_request",
}
"""Likewise, where it is no read."""

GOVERNING_GROUPS: Final = (
    *("istio.io", "linkerd.io", "cilium.io", "kuma.io", "consul.hashicorp.com"),
    *("gateway.networking.k8s.io", "gateway.networking.x-k8s.io", "gateway.envoyproxy.io"),
    *("policy.networking.k8s.io", "networking.k8s.io", "rbac.authorization.k8s.io"),
    *("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"),
    *("certificates.k8s.io", "cert-manager.io", "projectcalico.org", "spire.spiffe.io"),
    *("kyverno.io", "gatekeeper.sh", "argoproj.io", "toolkit.fluxcd.io"),
)
"""API groups, and those below them, whose objects govern a mesh, or who may govern it."""

BELOW: Final = {
    "istio.io": ("security", "networking", "telemetry", "extensions", "install"),
    "linkerd.io": ("policy", "multicluster"),
    "cert-manager.io": ("acme", "trust", "policy"),
    "projectcalico.org": ("crd",),
    "kyverno.io": ("policies",),
    "gatekeeper.sh": ("templates", "constraints", "config", "mutations", "expansion"),
    "toolkit.fluxcd.io": ("kustomize", "helm", "source", "notification", "image"),
}
"""Of those that have groups below them: the first label of each that is known. An audit policy
names every group in full."""

_CALICO: Final = ("blockaffinities", "ipamblocks", "ipamhandles", "workloadendpoints")
REPORTING_IN: Final = {
    "cilium.io": ("ciliumendpoints", "ciliumendpointslices", "ciliumidentities", "ciliumnodes"),
    "kuma.io": (
        *("dataplanes", "dataplaneinsights", "zoneinsights", "meshinsights", "serviceinsights"),
        *("zoneingressinsights", "zoneegressinsights", "meshserviceinsights"),
    ),
    "cert-manager.io": ("certificaterequests",),
    "acme.cert-manager.io": ("challenges", "orders"),
    "projectcalico.org": _CALICO,
    "crd.projectcalico.org": _CALICO,
}
"""By governing group: what agents write down of themselves, all the time."""

REPORTING: Final = frozenset(name for names in REPORTING_IN.values() for name in names)
"""All of these. A resource is known by its name alone: groups are renamed, names are not."""

DELIVERING: Final = ("argoproj.io", "toolkit.fluxcd.io")
"""Governing groups whose objects tell, in their status, what was delivered."""

GOVERNING_CORE: Final = frozenset({"services", "namespaces", "serviceaccounts"})
"""Of the core group: their labels and ports select and govern. Of ConfigMaps and Secrets only those
that a mesh or the cluster reads do, by name."""

INFRASTRUCTURE_CORE: Final = frozenset(
    {"nodes", "events", "endpoints", "replicationcontrollers", "persistentvolumes"}
    | {"persistentvolumeclaims", "resourcequotas", "limitranges"}
)
INFRASTRUCTURE_GROUPS: Final = frozenset(
    {"apps", "extensions", "batch", "autoscaling", "policy", "events.k8s.io", "discovery.k8s.io"}
    | {"scheduling.k8s.io", "node.k8s.io", "storage.k8s.io"}
)
POD_PARTS: Final = frozenset({"", "status", "binding", "eviction", "resize"})
GOVERNING_PARTS: Final = frozenset({"", "finalize", "approval"})
"""What of a governing object may be written to; its status says what became of it, and governs
nothing."""


def groups_of(family: str) -> tuple[str, ...]:
    """A governing group, and those below it that are known, in full."""
    return family, *(f"{label}.{family}" for label in BELOW.get(family, ()))
