"""What is asked of one request; the rules of each mesh have tests of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.kubernetes.audit_object import govern
from meshtrail.sources.kubernetes.security_change import SecurityChange
from meshtrail.sources.kubernetes.security_changes import RULES, classify_change, classify_request

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

RESOURCES = sorted(RULES)


def asked(
    resource: str, after: Json | None, *, verb: str = "update", name: str = "n", **more: object
) -> set[str]:
    group = max(group for group, known in RESOURCES if known == resource)
    found = classify_request(
        after,
        group=group,
        resource=resource,
        verb=verb,
        name=name,
        **more,  # type: ignore[arg-type] # of one call each
    )
    return {change.value for change in found}


@pytest.mark.parametrize(
    ("resource", "spec", "found"),
    [
        ("peerauthentications", {"mtls": {"mode": "PERMISSIVE"}}, {"mtls_downgrade"}),
        ("peerauthentications", {"mtls": {"mode": "STRICT"}}, {"mtls_strict"}),
        ("authorizationpolicies", {"rules": [{}]}, {"widened"}),
        ("authorizationpolicies", {}, {"narrowed"}),
        ("authorizationpolicies", {"action": "DENY"}, {"widened"}),
        ("authorizationpolicies", {"action": "DENY", "rules": [{}]}, {"narrowed"}),
        ("authorizationpolicies", {"rules": [{"to": [1]}]}, {"unclear"}),
        ("telemetries", {"accessLogging": [{"disabled": True}]}, {"logging_disabled"}),
        ("networkpolicies", {"podSelector": {}}, {"narrowed"}),
    ],
)
def test_update_says_what_it_asks_for_when_nobody_knows_what_was(
    resource: str, spec: Json, found: set[str]
) -> None:
    assert asked(resource, {"spec": spec}) == found


@pytest.mark.parametrize(
    ("resource", "patch", "found"),
    [
        ("peerauthentications", {"spec": {"mtls": {"mode": "DISABLE"}}}, {"mtls_downgrade"}),
        ("peerauthentications", {"spec": {"mtls": None}}, {"unclear"}),
        ("peerauthentications", {"metadata": {"labels": {"a": "b"}}}, set()),
        ("authorizationpolicies", {"spec": {"rules": [{}]}}, {"unclear"}),
        ("authorizationpolicies", {"metadata": {"annotations": {"a": "b"}}}, set()),
        (
            "authorizationpolicies",
            {"metadata": {"annotations": {"istio.io/dry-run": "true"}}},
            {"unclear"},
        ),
        ("networkpolicies", {"spec": {"ingress": [{}]}}, {"unclear"}),
        ("namespaces", {"metadata": {"labels": {"istio-injection": None}}}, {"injection_disabled"}),
        ("namespaces", {"metadata": {"labels": {"team": "a"}}}, set()),
        ("rolebindings", {"subjects": [{"name": "u"}]}, {"unclear"}),
        ("clusterroles", {"rules": [{"verbs": ["*"]}]}, {"privilege_granted"}),
        ("envoyfilters", {"spec": {"configPatches": []}}, {"proxy_patched"}),
        ("services", {"spec": {"type": "LoadBalancer"}}, {"exposed"}),
        ("telemetries", {"spec": {"accessLogging": None}}, {"unclear"}),
    ],
)
def test_patch_says_only_what_it_sets(resource: str, patch: Json, found: set[str]) -> None:
    assert asked(resource, patch, verb="patch", is_partial=True) == found


@pytest.mark.parametrize(
    ("resource", "gone", "found"),
    [
        ("authorizationpolicies", None, {"policy_removed", "unclear"}),
        ("authorizationpolicies", {"spec": {}}, {"policy_removed", "widened"}),
        ("peerauthentications", None, {"policy_removed", "unclear"}),
        (
            "peerauthentications",
            {"spec": {"mtls": {"mode": "STRICT"}}},
            {"policy_removed", "mtls_downgrade"},
        ),
        ("clusterrolebindings", None, {"policy_removed", "privilege_revoked"}),
        ("validatingwebhookconfigurations", None, {"admission_weakened"}),
        ("envoyfilters", None, {"proxy_patched"}),
        ("networkpolicies", None, {"policy_removed", "unclear"}),
        ("namespaces", None, set()),
        ("pods", None, set()),
    ],
)
def test_delete_says_what_is_lost_as_far_as_it_is_shown(
    resource: str, gone: Json | None, found: set[str]
) -> None:
    assert asked(resource, None, verb="delete", gone=gone) == found
    if gone is None:
        assert asked(resource, None, verb="deletecollection") == found


@pytest.mark.parametrize(
    ("resource", "verb", "found"),
    [
        ("authorizationpolicies", "create", {"policy_added"}),
        ("authorizationpolicies", "update", {"unclear"}),
        ("rolebindings", "create", {"privilege_granted", "policy_added"}),
        ("rolebindings", "update", {"unclear"}),
        ("envoyfilters", "patch", {"proxy_patched"}),
        ("virtualservices", "update", {"rerouted"}),
        ("ingresses", "create", {"exposed"}),
        ("pods", "create", set()),
        ("namespaces", "update", set()),
        ("deployments", "update", set()),
        ("customresourcedefinitions", "update", set()),
    ],
)
def test_write_that_was_logged_without_its_object_says_what_the_write_alone_does(
    resource: str, verb: str, found: set[str]
) -> None:
    assert asked(resource, None, verb=verb) == found


def test_roots_of_trust_are_changed_by_any_write_of_them_that_is_not_a_copy() -> None:
    for verb in ("create", "update", "patch", "delete"):
        assert asked("secrets", None, verb=verb, name="cacerts") == {"trust_root_changed"}
    assert asked("secrets", None, verb="update", name="mine") == set()
    copied = {"data": {"root-cert.pem": "x"}}
    assert asked("configmaps", copied, verb="create", name="istio-ca-root-cert") == set()
    changed = asked("configmaps", copied, name="istio-ca-root-cert")
    assert changed == {"trust_root_changed"}


def test_objects_of_no_rule_do_nothing_to_security() -> None:
    assert classify_request({}, group="example.com", resource="things", verb="create") == ()
    assert classify_change({}, {"a": 1}, group="", resource="things") == ()
    assert classify_change(None, None, group="", resource="services") == ()


def test_several_changes_stand_in_the_order_of_the_list() -> None:
    found = classify_request(
        {"roleRef": {}}, group="rbac.authorization.k8s.io", resource="rolebindings", verb="create"
    )
    assert found == (SecurityChange.PRIVILEGE_GRANTED, SecurityChange.POLICY_ADDED)


JSON: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "*", "ALLOW", "DENY", "STRICT", "DISABLE", "true", "spec"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "spec",
                    "rules",
                    "metadata",
                    "labels",
                    "annotations",
                    "mtls",
                    "mode",
                    "webhooks",
                    "accessLogging",
                    "servers",
                    "tls",
                    "data",
                    "mesh",
                    "from",
                    "default",
                    "action",
                    "ingress",
                    "egress",
                    "subjects",
                    "trafficPolicy",
                    "subsets",
                    "specs",
                    "sources",
                    "policyTypes",
                    "template",
                    "containers",
                    "securityContext",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["spec", "rules", "metadata", "data", "webhooks", "subjects", "status"]), JSON
)


@given(st.sampled_from(RESOURCES), OBJECTS | st.none(), OBJECTS | st.none(), st.data())
def test_rules_take_objects_of_any_make(
    of: tuple[str, str], before: Json | None, after: Json | None, data: st.DataObject
) -> None:
    group, resource = of
    name = data.draw(st.sampled_from(["n", "istio", "cacerts", "istio-ca-root-cert", "coredns"]))
    changed = classify_change(before, after, group=group, resource=resource, name=name)
    assert set(changed) <= set(SecurityChange)
    if before is not None:
        kept = classify_change(before, before, group=group, resource=resource, name=name)
        assert kept == ()
        governing = govern(before, resource=resource)
        gone = classify_change(governing, None, group=group, resource=resource, name=name)
        assert gone == classify_change(before, None, group=group, resource=resource, name=name)
    for verb in ("create", "update", "patch", "delete"):
        found = classify_request(
            after,
            group=group,
            resource=resource,
            name=name,
            verb=verb,
            gone=before,
            is_partial=verb == "patch",
        )
        assert set(found) <= set(SecurityChange)
