from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.sources.kubernetes.security_changes import classify_change

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
GATEWAY = "gateway.networking.k8s.io"


def found(
    of: tuple[str, str], before: Json | None, after: Json | None, *, name: str = "n"
) -> set[str]:
    changes = classify_change(before, after, group=of[0], resource=of[1], name=name)
    return {change.value for change in changes}


def role(*verbs: str, resource: str = "pods") -> Json:
    return {"rules": [{"apiGroups": [""], "resources": [resource], "verbs": [*verbs]}]}


def binding(*names: str) -> Json:
    return {"roleRef": {"name": "r"}, "subjects": [{"kind": "User", "name": n} for n in names]}


@pytest.mark.parametrize(
    ("resource", "before", "after", "wanted"),
    [
        ("clusterroles", role("get"), role("get", "delete"), {"privilege_granted"}),
        ("clusterroles", role("get", "delete"), role("get"), {"privilege_revoked"}),
        ("clusterroles", role("get"), role("*"), {"privilege_granted"}),
        ("roles", role("get"), role("create"), {"unclear"}),
        ("roles", role("get"), role("get"), set()),
        ("roles", None, role("get"), {"policy_added"}),
        ("roles", None, role("*"), {"policy_added", "privilege_granted"}),
        ("roles", None, role("impersonate"), {"policy_added", "privilege_granted"}),
        ("roles", None, role("get", resource="secrets"), {"policy_added", "privilege_granted"}),
        ("roles", role("get"), None, {"policy_removed", "privilege_revoked"}),
        (
            "clusterroles",
            role("get"),
            role("get") | {"aggregationRule": {"clusterRoleSelectors": []}},
            {"privilege_granted"},
        ),
        ("rolebindings", None, binding("a"), {"policy_added", "privilege_granted"}),
        ("rolebindings", binding("a"), None, {"policy_removed", "privilege_revoked"}),
        ("rolebindings", binding("a"), binding("a", "b"), {"privilege_granted"}),
        ("clusterrolebindings", binding("a", "b"), binding("a"), {"privilege_revoked"}),
        ("clusterrolebindings", binding("a"), binding("b"), {"unclear"}),
    ],
)
def test_rbac_grants_and_revokes(
    resource: str, before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found((RBAC, resource), before, after) == wanted


def network(**said: object) -> Json:
    return {"spec": {"podSelector": {}, **said}}


A, B = ({"from": [{"podSelector": {"matchLabels": {"app": app}}}]} for app in "ab")


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (None, network(policyTypes=["Ingress"]), {"policy_added", "narrowed"}),
        (network(policyTypes=["Ingress"]), None, {"policy_removed", "widened"}),
        (None, network(ingress=[{}]), {"policy_added", "widened"}),
        (None, network(ingress=[A]), {"policy_added", "unclear"}),
        (network(ingress=[A]), network(ingress=[A, B]), {"widened"}),
        (network(ingress=[A, B]), network(ingress=[A]), {"narrowed"}),
        (
            network(ingress=[A]),
            network(ingress=[A], policyTypes=["Egress"]),
            {"unclear", "narrowed"},
        ),
        (network(ingress=[A]), network(ingress=[A], egress=[A]), {"unclear"}),
        (network(ingress=[A]), network(ingress=[A], podSelector={"a": "b"}), {"unclear"}),
        (network(ingress=[A]), network(ingress=[A], policyTypes=["Ingress"]), set()),
    ],
)
def test_network_policy_lets_more_or_less_through(
    before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found(("networking.k8s.io", "networkpolicies"), before, after) == wanted


def hooks(*names: str, failure: str = "Fail", resources: str = "*", ca: str = "x") -> Json:
    return {
        "webhooks": [
            {
                "name": name,
                "failurePolicy": failure,
                "clientConfig": {"caBundle": ca},
                "rules": [{"resources": [resources]}],
            }
            for name in names
        ]
    }


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (None, hooks("a"), {"admission_strengthened"}),
        (hooks("a"), None, {"admission_weakened"}),
        (hooks("a", "b"), hooks("a"), {"admission_weakened"}),
        (hooks("a"), hooks("a", "b"), {"admission_strengthened"}),
        (hooks("a"), hooks("a", failure="Ignore"), {"admission_weakened"}),
        (hooks("a", failure="Ignore"), hooks("a"), {"admission_strengthened"}),
        (hooks("a"), hooks("a", resources="pods"), {"admission_weakened"}),
        (hooks("a"), hooks("a", ca="y"), {"unclear"}),
        (hooks("a"), hooks("a"), set()),
    ],
)
def test_webhooks_look_at_more_or_less(
    before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found((ADMISSION, "validatingwebhookconfigurations"), before, after) == wanted


def test_webhook_that_injects_takes_the_proxies_with_it() -> None:
    of = (ADMISSION, "mutatingwebhookconfigurations")
    name = "istio-sidecar-injector"
    gone = found(of, hooks("a"), None, name=name)
    assert gone == {"admission_weakened", "injection_disabled"}
    assert found(of, None, hooks("a"), name=name) == {"unclear", "injection_enabled"}
    assert found(of, None, hooks("a")) == {"unclear"}


@pytest.mark.parametrize(
    ("of", "before", "after", "wanted"),
    [
        (
            (ADMISSION, "validatingadmissionpolicies"),
            {"spec": {"failurePolicy": "Fail"}},
            {"spec": {"failurePolicy": "Ignore"}},
            {"admission_weakened"},
        ),
        (
            (ADMISSION, "validatingadmissionpolicybindings"),
            {"spec": {"validationActions": ["Deny"]}},
            {"spec": {"validationActions": ["Warn"]}},
            {"admission_weakened"},
        ),
        ((ADMISSION, "validatingadmissionpolicies"), {}, None, {"admission_weakened"}),
        ((ADMISSION, "validatingadmissionpolicies"), None, {}, {"admission_strengthened"}),
        (
            ("certificates.k8s.io", "certificatesigningrequests"),
            {"spec": {}},
            {"spec": {}, "status": {"conditions": [{"type": "Approved"}]}},
            {"privilege_granted"},
        ),
        (("certificates.k8s.io", "certificatesigningrequests"), None, {"spec": {}}, set()),
        (("cert-manager.io", "clusterissuers"), {"spec": 1}, {"spec": 2}, {"trust_root_changed"}),
        (("trust.cert-manager.io", "bundles"), None, {"spec": 2}, {"trust_root_changed"}),
        (
            ("apiextensions.k8s.io", "customresourcedefinitions"),
            {"spec": 1},
            None,
            {"policy_removed", "unclear"},
        ),
        (("apiextensions.k8s.io", "customresourcedefinitions"), {"spec": 1}, {"spec": 2}, set()),
        ((GATEWAY, "gateways"), None, {"spec": 1}, {"exposed"}),
        ((GATEWAY, "gateways"), {"spec": 1}, {"spec": 2}, {"unclear"}),
        ((GATEWAY, "httproutes"), {"spec": 1}, {"spec": 2}, {"rerouted"}),
        ((GATEWAY, "httproutes"), {"spec": 1}, {"spec": 1, "status": 2}, set()),
        (
            (GATEWAY, "referencegrants"),
            {"spec": {"from": ["a"], "to": ["b"]}},
            {"spec": {"from": ["a", "c"], "to": ["b"]}},
            {"widened"},
        ),
        (("gateway.envoyproxy.io", "envoypatchpolicies"), None, {}, {"proxy_patched"}),
        (
            ("gateway.envoyproxy.io", "envoyproxies"),
            {"spec": {}},
            {"spec": {"telemetry": {"accessLog": {"disable": True}}}},
            {"logging_disabled", "proxy_patched"},
        ),
        (("networking.k8s.io", "ingresses"), {"spec": 1}, None, {"unexposed"}),
        (("apiregistration.k8s.io", "apiservices"), None, {"spec": 1}, {"rerouted"}),
    ],
)
def test_objects_of_the_cluster_change_what_they_are_for(
    of: tuple[str, str], before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found(of, before, after) == wanted
