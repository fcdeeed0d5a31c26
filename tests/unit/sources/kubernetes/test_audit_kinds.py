from __future__ import annotations

import pytest

from meshtrail.model.event import Kind
from meshtrail.sources.kubernetes.audit_kinds import is_below, kind_of


@pytest.mark.parametrize(
    ("group", "resource", "kind"),
    [
        ("security.istio.io", "authorizationpolicies", Kind.CONFIG_CHANGE),
        ("networking.istio.io", "gateways", Kind.CONFIG_CHANGE),
        ("telemetry.istio.io", "telemetries", Kind.CONFIG_CHANGE),
        ("extensions.istio.io", "wasmplugins", Kind.CONFIG_CHANGE),
        ("gateway.networking.k8s.io", "httproutes", Kind.CONFIG_CHANGE),
        ("gateway.envoyproxy.io", "envoypatchpolicies", Kind.CONFIG_CHANGE),
        ("policy.linkerd.io", "servers", Kind.CONFIG_CHANGE),
        ("linkerd.io", "serviceprofiles", Kind.CONFIG_CHANGE),
        ("cilium.io", "ciliumnetworkpolicies", Kind.CONFIG_CHANGE),
        ("cilium.io", "ciliumendpoints", Kind.INFRASTRUCTURE),
        ("kuma.io", "meshtrafficpermissions", Kind.CONFIG_CHANGE),
        ("kuma.io", "dataplanes", Kind.INFRASTRUCTURE),
        ("consul.hashicorp.com", "serviceintentions", Kind.CONFIG_CHANGE),
        ("networking.k8s.io", "networkpolicies", Kind.CONFIG_CHANGE),
        ("rbac.authorization.k8s.io", "clusterrolebindings", Kind.CONFIG_CHANGE),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", Kind.CONFIG_CHANGE),
        ("apiextensions.k8s.io", "customresourcedefinitions", Kind.CONFIG_CHANGE),
        ("certificates.k8s.io", "certificatesigningrequests", Kind.CONFIG_CHANGE),
        ("cert-manager.io", "clusterissuers", Kind.CONFIG_CHANGE),
        ("cert-manager.io", "certificaterequests", Kind.INFRASTRUCTURE),
        ("", "namespaces", Kind.CONFIG_CHANGE),
        ("", "services", Kind.CONFIG_CHANGE),
        ("", "serviceaccounts", Kind.CONFIG_CHANGE),
        ("", "pods", Kind.WORKLOAD),
        ("apps", "deployments", Kind.INFRASTRUCTURE),
        ("extensions", "deployments", Kind.INFRASTRUCTURE),
        ("autoscaling", "horizontalpodautoscalers", Kind.INFRASTRUCTURE),
        ("", "nodes", Kind.INFRASTRUCTURE),
        ("", "events", Kind.INFRASTRUCTURE),
        ("events.k8s.io", "events", Kind.INFRASTRUCTURE),
        ("discovery.k8s.io", "endpointslices", Kind.INFRASTRUCTURE),
        ("coordination.k8s.io", "leases", Kind.API_CALL),
        ("authorization.k8s.io", "subjectaccessreviews", Kind.API_CALL),
        ("notistio.io", "policies", Kind.API_CALL),
        ("", "configmaps", Kind.API_CALL),
        ("", "secrets", Kind.API_CALL),
        ("", "", Kind.API_CALL),
    ],
)
def test_writes_are_what_the_table_says_and_reads_are_calls(
    group: str, resource: str, kind: Kind
) -> None:
    for verb in ("create", "update", "patch", "delete", "deletecollection"):
        assert kind_of(group=group, resource=resource, verb=verb) is kind
    for verb in ("get", "list", "watch"):
        assert kind_of(group=group, resource=resource, verb=verb) is Kind.API_CALL


@pytest.mark.parametrize(
    ("resource", "subresource", "kind"),
    [
        ("pods", "exec", Kind.EXEC),
        ("pods", "attach", Kind.ATTACH),
        ("pods", "portforward", Kind.PORT_FORWARD),
        ("pods", "ephemeralcontainers", Kind.EPHEMERAL_CONTAINER),
        ("serviceaccounts", "token", Kind.TOKEN_REQUEST),
        ("pods", "status", Kind.WORKLOAD),
        ("pods", "binding", Kind.WORKLOAD),
        ("pods", "eviction", Kind.WORKLOAD),
        ("pods", "proxy", Kind.API_CALL),
        ("services", "status", Kind.API_CALL),
        ("namespaces", "finalize", Kind.CONFIG_CHANGE),
    ],
)
def test_parts_of_objects_have_kinds_of_their_own(
    resource: str, subresource: str, kind: Kind
) -> None:
    assert kind_of(group="", resource=resource, subresource=subresource, verb="create") is kind


def test_sessions_are_sessions_when_they_open_as_websockets() -> None:
    for part, kind in (("exec", Kind.EXEC), ("attach", Kind.ATTACH)):
        assert kind_of(group="", resource="pods", subresource=part, verb="get") is kind
    reading = kind_of(group="", resource="pods", subresource="ephemeralcontainers", verb="get")
    assert reading is Kind.API_CALL
    elsewhere = kind_of(group="metrics.k8s.io", resource="pods", subresource="exec", verb="create")
    assert elsewhere is Kind.API_CALL


def test_status_of_what_governs_is_no_change_but_approval_is() -> None:
    group = "certificates.k8s.io"
    for part, kind in (("status", Kind.API_CALL), ("approval", Kind.CONFIG_CHANGE)):
        assert (
            kind_of(
                group=group, resource="certificatesigningrequests", subresource=part, verb="update"
            )
            is kind
        )
    scale = kind_of(group="apps", resource="deployments", subresource="scale", verb="patch")
    assert scale is Kind.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("configmaps", "istio"),
        ("configmaps", "istio-1-24"),
        ("configmaps", "istio-ca-root-cert"),
        ("configmaps", "aws-auth"),
        ("secrets", "cacerts"),
        ("secrets", "linkerd-identity-issuer"),
    ],
)
def test_what_a_mesh_reads_is_configuration_by_its_name(resource: str, name: str) -> None:
    assert kind_of(group="", resource=resource, name=name, verb="update") is Kind.CONFIG_CHANGE
    assert kind_of(group="", resource=resource, name=name, verb="get") is Kind.API_CALL


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v1/nodes/n1/proxy/exec/ns/pod/main", Kind.EXEC),
        ("/api/v1/nodes/https:n1:10250/proxy/run/ns/pod/main", Kind.EXEC),
        ("/api/v1/nodes/n1/proxy/attach/ns/pod/main", Kind.ATTACH),
        ("/api/v1/nodes/n1/proxy/portForward/ns/pod", Kind.PORT_FORWARD),
        ("/api/v1/nodes/n1/proxy/metrics", Kind.API_CALL),
        ("/api/v1/nodes/n1/proxy/runningpods/", Kind.API_CALL),
    ],
)
def test_sessions_by_way_of_a_kubelet_are_sessions_too(path: str, kind: Kind) -> None:
    found = kind_of(group="", resource="nodes", subresource="proxy", verb="get", path=path)
    assert found is kind


def test_groups_below_are_told_from_groups_that_only_end_so() -> None:
    assert is_below("security.istio.io", ("istio.io",))
    assert is_below("istio.io", ("istio.io",))
    assert not is_below("evilistio.io", ("istio.io",))
