from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.sources.kubernetes.security_changes import classify_change

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

LINKERD, CILIUM = "policy.linkerd.io", "cilium.io"
KUMA, CONSUL = "kuma.io", "consul.hashicorp.com"


def found(of: tuple[str, str], before: Json | None, after: Json | None) -> set[str]:
    sides = [None if side is None else {"spec": side} for side in (before, after)]
    return {change.value for change in classify_change(*sides, group=of[0], resource=of[1])}


def permission(action: str) -> Json:
    return {"from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": action}}]}


def kuma_mesh(mode: str = "STRICT", **more: str) -> Json:
    backends = [{"name": "ca-1", "type": "builtin", "mode": mode, **more}]
    return {"mtls": {"enabledBackend": "ca-1", "backends": backends}}


def sources(**actions: str) -> Json:
    return {"sources": [{"name": name, "action": action} for name, action in actions.items()]}


A: Json = {"fromEndpoints": [{"matchLabels": {"app": "a"}}]}
B: Json = {"fromEndpoints": [{"matchLabels": {"app": "b"}}]}


@pytest.mark.parametrize(
    ("of", "before", "after", "wanted"),
    [
        ((LINKERD, "servers"), None, {"port": 1}, {"policy_added", "narrowed"}),
        ((LINKERD, "servers"), {"port": 1}, None, {"policy_removed", "widened"}),
        ((LINKERD, "authorizationpolicies"), None, {}, {"policy_added", "widened"}),
        ((LINKERD, "authorizationpolicies"), {}, None, {"policy_removed", "narrowed"}),
        ((LINKERD, "authorizationpolicies"), {"a": 1}, {"a": 2}, {"unclear"}),
        ((LINKERD, "serverauthorizations"), None, {}, {"policy_added", "widened"}),
        (
            (LINKERD, "meshtlsauthentications"),
            {"identities": ["a.ns"]},
            {"identities": ["*"]},
            {"widened"},
        ),
        (
            (LINKERD, "networkauthentications"),
            {"networks": [{"cidr": "0.0.0.0/0"}]},
            {"networks": [{"cidr": "10.0.0.0/8"}]},
            {"narrowed"},
        ),
        ((LINKERD, "httproutes"), {"a": 1}, {"a": 2}, {"rerouted"}),
        (("multicluster.linkerd.io", "links"), None, {"a": 1}, {"trust_root_changed"}),
        ((CILIUM, "ciliumnetworkpolicies"), {"ingress": [A]}, {"ingress": [A, B]}, {"widened"}),
        ((CILIUM, "ciliumnetworkpolicies"), {"ingress": [A, B]}, {"ingress": [B]}, {"narrowed"}),
        (
            (CILIUM, "ciliumnetworkpolicies"),
            {"ingressDeny": [A]},
            {"ingressDeny": [A, B]},
            {"narrowed"},
        ),
        ((CILIUM, "ciliumnetworkpolicies"), None, {"egress": []}, {"policy_added", "narrowed"}),
        ((CILIUM, "ciliumnetworkpolicies"), {"egress": []}, None, {"policy_removed", "widened"}),
        (
            (CILIUM, "ciliumclusterwidenetworkpolicies"),
            {"ingress": [A], "endpointSelector": {}},
            {"ingress": [A], "endpointSelector": {"matchLabels": {"a": "b"}}},
            {"unclear"},
        ),
        ((CILIUM, "ciliumenvoyconfigs"), {"a": 1}, {"a": 2}, {"proxy_patched"}),
        ((CILIUM, "ciliumlocalredirectpolicies"), None, {"a": 1}, {"rerouted"}),
        ((KUMA, "meshtrafficpermissions"), None, permission("Allow"), {"policy_added", "widened"}),
        ((KUMA, "meshtrafficpermissions"), None, permission("Deny"), {"policy_added", "narrowed"}),
        (
            (KUMA, "meshtrafficpermissions"),
            permission("Deny"),
            None,
            {"policy_removed", "widened"},
        ),
        ((KUMA, "meshtrafficpermissions"), permission("Deny"), permission("Allow"), {"unclear"}),
        (
            (KUMA, "meshtlses"),
            {"from": [{"default": {"mode": "Strict"}}]},
            {"rules": [{"default": {"mode": "Permissive"}}]},
            {"mtls_downgrade"},
        ),
        ((KUMA, "meshes"), kuma_mesh(), {}, {"mtls_downgrade", "trust_root_changed"}),
        (
            (KUMA, "meshes"),
            kuma_mesh(),
            kuma_mesh("PERMISSIVE"),
            {"mtls_downgrade", "trust_root_changed"},
        ),
        ((KUMA, "meshes"), kuma_mesh(), kuma_mesh(), set()),
        ((KUMA, "meshes"), {}, {"logging": {"backends": []}}, {"unclear"}),
        ((KUMA, "meshaccesslogs"), {"a": 1}, None, {"logging_disabled"}),
        ((KUMA, "meshaccesslogs"), None, {"a": 1}, {"logging_enabled"}),
        ((KUMA, "meshproxypatches"), None, {"a": 1}, {"proxy_patched"}),
        (
            (CONSUL, "serviceintentions"),
            sources(a="allow"),
            sources(a="allow", b="allow"),
            {"widened"},
        ),
        ((CONSUL, "serviceintentions"), sources(a="deny"), sources(), {"widened"}),
        ((CONSUL, "serviceintentions"), sources(), sources(a="deny"), {"narrowed"}),
        (
            (CONSUL, "serviceintentions"),
            {"sources": [{"name": "a", "permissions": [1]}]},
            {"sources": [{"name": "a", "permissions": [2]}]},
            {"unclear"},
        ),
        (
            (CONSUL, "proxydefaults"),
            {"accessLogs": {"enabled": True}},
            {"accessLogs": {"enabled": False}},
            {"logging_disabled"},
        ),
        ((CONSUL, "proxydefaults"), {"accessLogs": {"enabled": True}}, {}, {"logging_disabled"}),
        ((CONSUL, "proxydefaults"), {}, {"accessLogs": {"enabled": True}}, {"logging_enabled"}),
        (
            (CONSUL, "servicedefaults"),
            {"mutualTLSMode": "strict"},
            {"mutualTLSMode": "permissive"},
            {"mtls_downgrade"},
        ),
        ((CONSUL, "servicedefaults"), {}, {"envoyExtensions": [1]}, {"proxy_patched"}),
        (
            (CONSUL, "meshes"),
            {"allowEnablingPermissiveMutualTLS": False},
            {"allowEnablingPermissiveMutualTLS": True},
            {"mtls_downgrade"},
        ),
        ((CONSUL, "meshes"), {"a": 1}, {"a": 2}, {"unclear"}),
        ((CONSUL, "ingressgateways"), None, {}, {"exposed"}),
        ((CONSUL, "exportedservices"), {"services": []}, {"services": [1]}, {"widened"}),
        ((CONSUL, "jwtproviders"), {"a": 1}, {"a": 2}, {"trust_root_changed"}),
    ],
)
def test_objects_of_each_mesh_change_what_they_are_for(
    of: tuple[str, str], before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found(of, before, after) == wanted


def test_policies_of_cilium_may_hold_several_specifications() -> None:
    before, after = ({"specs": [{"ingress": [A]}, {"ingress": rules}]} for rules in ([A], [A, B]))
    changes = classify_change(before, after, group=CILIUM, resource="ciliumnetworkpolicies")
    assert [change.value for change in changes] == ["widened"]
