"""The rules of an audit policy: what an API server logs of each call, and how much of it.

Made of the tables by which audit events are read. The first rule that fits a call decides.

Source: audit.k8s.io/v1 (Policy, PolicyRule) and how an API server applies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshtrail.model.audited_resources import (
    DELIVERING,
    GOVERNING_CORE,
    GOVERNING_GROUPS,
    INFRASTRUCTURE_CORE,
    INFRASTRUCTURE_GROUPS,
    READS,
    REPORTING_IN,
    SESSIONS,
    WRITES,
    groups_of,
)

Group = tuple[str, tuple[str, ...]]
"""An API group, empty for the core group, and its resources; none means all of them."""

NONE, METADATA, REQUEST, WHOLE = "None", "Metadata", "Request", "RequestResponse"

MESH_CONFIG_MAPS: Final = (
    *("istio", "istio-sidecar-injector", "istio-ca-root-cert", "linkerd-config"),
    *("linkerd-identity-trust-roots", "cilium-config", "kuma-control-plane-config"),
    *("coredns", "kube-proxy", "aws-auth", "argocd-cm", "argocd-rbac-cm", "spire-bundle"),
    *("kube-root-ca.crt", "extension-apiserver-authentication"),
)
"""ConfigMaps that a mesh or the cluster is governed by. An audit policy knows no patterns."""

_NODES: Final = "system:nodes"
_KUBE_SYSTEM: Final = "system:serviceaccount:kube-system:"
_ENDPOINT_CONTROLLERS: Final = tuple(
    f"{_KUBE_SYSTEM}{name}-controller"
    for name in ("endpoint", "endpointslice", "endpointslicemirroring")
)
_NO_SUBJECT: Final = (
    ("authentication.k8s.io", ("tokenreviews",)),
    ("authorization.k8s.io", ("subjectaccessreviews",)),
    ("coordination.k8s.io", ()),
)
_STATUS: Final = ("*/status",)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRule:
    """One rule.

    Attributes:
        why: comment that stands above it.
        level: how much is logged.
        groups: what it is about; none means every call.
        names: of objects; needs resources in each group.
        verbs: of calls; none means all.
        users: who calls, by name; none means everybody.
        user_groups: likewise by group.
    """

    why: str
    level: str
    groups: tuple[Group, ...] = ()
    names: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()


def make_rules() -> tuple[AuditRule, ...]:
    """All rules, in the order in which they apply."""
    return (
        *_make_session_rules(),
        *_make_quiet_rules(),
        *_make_change_rules(),
        *_make_last_rules(),
    )


def _make_session_rules() -> tuple[AuditRule, ...]:
    sessions = tuple(f"{resource}/{part}" for resource, part in SESSIONS)
    tokens = tuple(
        f"{one}/{part}" for (one, part), kind in WRITES.items() if kind == "token_request"
    )
    debug = tuple(
        f"{one}/{part}" for (one, part), kind in WRITES.items() if kind != "token_request"
    )
    return (
        AuditRule(
            why="Sessions in pods, which a WebSocket opens with the verb get, and what goes by "
            "way of kubelets and proxies. The command is in the URL; what is typed then is in no "
            "log.",
            level=METADATA,
            groups=(("", (*sessions, "pods/log", "pods/proxy", "services/proxy", "nodes/proxy")),),
        ),
        AuditRule(
            why="Who read or wrote a Secret or got a token, and never what: what is logged is kept "
            "for good. Kubelets read the Secrets of their pods, which is most of these lines.",
            level=METADATA,
            groups=(("", ("secrets", *tokens)),),
        ),
        AuditRule(
            why="A container that somebody puts into a running pod: which image, which command.",
            level=REQUEST,
            groups=(("", debug),),
        ),
    )


def _make_quiet_rules() -> tuple[AuditRule, ...]:
    return (
        AuditRule(
            why="Reads and watches are most of all calls, and change nothing.",
            level=NONE,
            verbs=tuple(sorted(READS)),
        ),
        AuditRule(
            why="Heartbeats, and what components ask on behalf of somebody else.",
            level=NONE,
            groups=_NO_SUBJECT,
        ),
        AuditRule(
            why="Endpoints follow the pods, which are logged; written by anybody else they divert "
            "traffic, and are logged below.",
            level=NONE,
            groups=(("", ("endpoints",)), ("discovery.k8s.io", ("endpointslices",))),
            users=_ENDPOINT_CONTROLLERS,
        ),
    )


def _make_change_rules() -> tuple[AuditRule, ...]:
    families = [family for family in GOVERNING_GROUPS if family not in DELIVERING]
    governing = tuple(group for family in families for group in groups_of(family))
    delivering = tuple(group for family in DELIVERING for group in groups_of(family))
    return (
        AuditRule(
            why="Which image, by its digest, runs with which address: kubelets say it in a pod's "
            "status, at each of its steps. The answer holds the whole pod each time.",
            level=WHOLE,
            groups=(("", ("pods/status",)),),
            user_groups=(_NODES,),
        ),
        AuditRule(
            why="Pods as they come and go. The name that a ReplicaSet's pod gets is in the answer "
            "alone. What stands in a pod's environment variables is logged with it: keep secrets "
            "in Secrets.",
            level=WHOLE,
            groups=(("", ("pods", "pods/binding", "pods/eviction", "pods/resize")),),
        ),
        AuditRule(
            why="What Argo CD and Flux delivered, which they tell in a status: the commit.",
            level=WHOLE,
            groups=tuple((group, ()) for group in delivering),
        ),
        AuditRule(
            why="What agents write down of themselves, all the time.",
            level=METADATA,
            groups=tuple(REPORTING_IN.items()),
        ),
        AuditRule(
            why="What became of an object governs nothing.",
            level=NONE,
            groups=tuple((group, _STATUS) for group in governing),
        ),
        AuditRule(
            why="What governs a mesh, and who may govern it: policies, routes, gateways, roles, "
            "webhooks, certificates. Request and answer; people seldom change them.",
            level=WHOLE,
            groups=(("", _with_parts(GOVERNING_CORE)), *((group, ()) for group in governing)),
        ),
        AuditRule(
            why="ConfigMaps that meshes and the cluster read. A name counts where the URL has it, "
            "so not when one is made. Add istio-<revision> for each revision of Istio.",
            level=WHOLE,
            groups=(("", ("configmaps",)),),
            names=MESH_CONFIG_MAPS,
        ),
        *_make_infrastructure_rules(),
    )


def _make_infrastructure_rules() -> tuple[AuditRule, ...]:
    groups = tuple(sorted(INFRASTRUCTURE_GROUPS))
    rest = tuple(sorted(INFRASTRUCTURE_CORE))
    return (
        AuditRule(
            why="Counts of replicas that are there, and whether volumes are bound. What scales a "
            "workload is logged below.",
            level=NONE,
            groups=(
                *((group, ("*/status",)) for group in groups),
                ("", tuple(f"{name}/status" for name in rest if name != "nodes")),
            ),
        ),
        AuditRule(
            why="Nodes, events, workloads, scaling: what was asked for. Events are the most of it; "
            "take them out where there are too many.",
            level=REQUEST,
            groups=(("", (*rest, "nodes/status")), *((group, ()) for group in groups)),
        ),
    )


def _make_last_rules() -> tuple[AuditRule, ...]:
    return (
        AuditRule(
            why="Every other change: who, what, when, and whether it was allowed.",
            level=METADATA,
        ),
    )


def _with_parts(resources: frozenset[str]) -> tuple[str, ...]:
    """Resources and the part of a namespace that lets it go, without their status."""
    return (*sorted(resources), "namespaces/finalize")
