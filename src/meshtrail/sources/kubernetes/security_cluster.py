"""What changes of a cluster's own objects do to security: RBAC, network, admission, namespaces.

Source: the API reference of Kubernetes, its Pod Security Standards; Gateway API; cert-manager.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from meshtrail.sources.kubernetes.json_parts import list_of, objects_of, part_of, text_of, texts_of
from meshtrail.sources.kubernetes.match_direction import Direction, compare_rules
from meshtrail.sources.kubernetes.security_change import (
    Found,
    Rule,
    SecurityChange,
    compare_allowing,
    compare_listed,
    on_coming_and_going,
    on_touch,
    policy,
    rules_at,
)

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json
    from meshtrail.sources.kubernetes.security_change import Change

_SWEEPING_VERBS: Final = frozenset({"*", "escalate", "bind", "impersonate"})
"""With any of these a role is what its holder makes of it."""
_SWEEPING_RESOURCES: Final = frozenset(
    {"*", "*/*", "pods/exec", "pods/attach", "nodes/proxy", "serviceaccounts/token", "secrets"}
)
_RIGHTS: Final = {
    "more": SecurityChange.PRIVILEGE_GRANTED,
    "less": SecurityChange.PRIVILEGE_REVOKED,
}
_INJECTORS: Final = ("sidecar-injector", "proxy-injector", "connect-injector", "admission-mutating")
"""In the names of the webhooks that put proxies into pods."""
_TYPES: Final = {"Ingress": "ingress", "Egress": "egress"}


def _role(change: Change) -> Found:
    """Rights that a role has; only a binding gives them to someone."""
    if change.is_removed:
        return {SecurityChange.PRIVILEGE_REVOKED, SecurityChange.POLICY_REMOVED}
    found = {SecurityChange.POLICY_ADDED} if change.is_created else set()
    if change.differs("aggregationRule"):
        found.add(SecurityChange.PRIVILEGE_GRANTED)
    if change.knows_before and not change.is_created:
        found |= compare_listed(change, rules_at("rules"), **_RIGHTS)
    elif _is_sweeping(change.after):
        found.add(SecurityChange.PRIVILEGE_GRANTED)
    elif not change.is_created and change.differs("rules"):
        found.add(SecurityChange.UNCLEAR)
    return found


def _is_sweeping(value: Json | None) -> bool:
    return any(
        _SWEEPING_VERBS.intersection(texts_of(rule, "verbs"))
        or _SWEEPING_RESOURCES.intersection(texts_of(rule, "resources"))
        for rule in objects_of(value, "rules")
    )


def _binding(change: Change) -> Found:
    if change.is_created:
        return {SecurityChange.PRIVILEGE_GRANTED, SecurityChange.POLICY_ADDED}
    if change.is_removed:
        return {SecurityChange.PRIVILEGE_REVOKED, SecurityChange.POLICY_REMOVED}
    return compare_listed(change, rules_at("subjects"), **_RIGHTS)


def _network_policy(change: Change) -> Found:
    found: Found = set()
    for direction in _TYPES:
        found |= compare_allowing(change, partial(_rules_of_policy, direction))
    is_changed = change.before is not None and change.after is not None
    if is_changed and change.differs("spec.podSelector"):
        found.add(SecurityChange.UNCLEAR)
    return found


def _rules_of_policy(direction: str, value: Json) -> list[object] | None:
    """What is let through; None where the policy has no say in this direction."""
    spec = part_of(value, "spec")
    stated = spec.get("policyTypes")
    is_default = direction == "Ingress" or bool(list_of(spec, "egress"))
    governs = direction in texts_of(spec, "policyTypes") if stated else is_default
    return list_of(spec, _TYPES[direction]) if governs else None


def _webhooks(change: Change, *, is_validating: bool) -> Found:
    injects = any(word in change.name for word in _INJECTORS)
    if change.is_removed:
        found = {SecurityChange.ADMISSION_WEAKENED}
        return found | ({SecurityChange.INJECTION_DISABLED} if injects else set())
    if change.is_created:
        found = {SecurityChange.ADMISSION_STRENGTHENED if is_validating else SecurityChange.UNCLEAR}
        return found | ({SecurityChange.INJECTION_ENABLED} if injects else set())
    return _compare_webhooks(change) if change.differs("webhooks") else set()


def _compare_webhooks(change: Change) -> Found:
    had, has = (_ignoring(side) for side in (change.before, change.after))
    names, names_after = (_webhook_names(side) for side in (change.before, change.after))
    scope = compare_rules(_scopes(change.before), _scopes(change.after))
    if not change.knows_before:
        is_weaker = bool(has)
    else:
        is_weaker = bool(names - names_after or has - had or scope is Direction.NARROWER)
    if is_weaker:
        return {SecurityChange.ADMISSION_WEAKENED}
    is_stronger = change.knows_before and (scope is Direction.WIDER or had - has)
    return {SecurityChange.ADMISSION_STRENGTHENED if is_stronger else SecurityChange.UNCLEAR}


def _ignoring(value: Json | None) -> set[str | None]:
    """The webhooks without which an object is taken all the same."""
    return {
        text_of(hook, "name")
        for hook in objects_of(value, "webhooks")
        if hook.get("failurePolicy") == "Ignore"
    }


def _webhook_names(value: Json | None) -> set[str | None]:
    return {text_of(hook, "name") for hook in objects_of(value, "webhooks")}


def _scopes(value: Json | None) -> list[object]:
    """What the webhooks are asked about."""
    names = ("name", "rules", "namespaceSelector", "objectSelector")
    return [
        {name: hook[name] for name in names if name in hook}
        for hook in objects_of(value, "webhooks")
    ]


def _admission_policy(change: Change) -> Found:
    if change.is_created or change.is_removed:
        is_more = change.is_created
        strong, weak = SecurityChange.ADMISSION_STRENGTHENED, SecurityChange.ADMISSION_WEAKENED
        return {strong if is_more else weak}
    had, has = (
        {text_of(side, "spec", "failurePolicy"), *texts_of(side, "spec", "validationActions")}
        for side in (change.before, change.after)
    )
    if "Ignore" in has - had or (has & {"Audit", "Warn"} and "Deny" not in has):
        return {SecurityChange.ADMISSION_WEAKENED}
    return {SecurityChange.UNCLEAR} if change.touches_spec else set()


def _signing_request(change: Change) -> Found:
    """A certificate for the API, once it is approved."""
    conditions = {
        text_of(each, "type") for each in objects_of(change.after, "status", "conditions")
    }
    return {SecurityChange.PRIVILEGE_GRANTED} if "Approved" in conditions else set()


def _definition(change: Change) -> Found:
    """With a CustomResourceDefinition all objects of its kind go."""
    if not change.is_removed:
        return set()
    return {SecurityChange.POLICY_REMOVED, SecurityChange.UNCLEAR}


def _envoy_proxy(change: Change) -> Found:
    had, has = (
        part_of(side, "spec", "telemetry", "accessLog").get("disable")
        for side in (change.before, change.after)
    )
    found = {SecurityChange.PROXY_PATCHED} if change.touches_spec else set()
    if has is True and had is not True:
        found.add(SecurityChange.LOGGING_DISABLED)
    elif had is True and has is not True and not change.is_partial:
        found.add(SecurityChange.LOGGING_ENABLED)
    return found


def _grants(change: Change) -> Found:
    return compare_listed(
        change,
        lambda value: [*list_of(value, "spec", "from"), *list_of(value, "spec", "to")],
        more=SecurityChange.WIDENED,
        less=SecurityChange.NARROWED,
    )


_REROUTE: Final = on_touch(SecurityChange.REROUTED)
_PATCH: Final = on_touch(SecurityChange.PROXY_PATCHED)
_TRUST: Final = on_touch(SecurityChange.TRUST_ROOT_CHANGED)
_UNCLEAR: Final = on_touch(SecurityChange.UNCLEAR)
_EXPOSE: Final = on_coming_and_going(more=SecurityChange.EXPOSED, less=SecurityChange.UNEXPOSED)

_BY_GROUP: Final[dict[str, dict[str, Rule]]] = {
    "rbac.authorization.k8s.io": {
        "roles": _role,
        "clusterroles": _role,
        "rolebindings": _binding,
        "clusterrolebindings": _binding,
    },
    "networking.k8s.io": {
        "networkpolicies": policy(_network_policy),
        "ingresses": _EXPOSE,
        "ingressclasses": _REROUTE,
    },
    "policy.networking.k8s.io": {
        "adminnetworkpolicies": policy(_UNCLEAR),
        "baselineadminnetworkpolicies": policy(_UNCLEAR),
    },
    "admissionregistration.k8s.io": {
        "validatingwebhookconfigurations": partial(_webhooks, is_validating=True),
        "mutatingwebhookconfigurations": partial(_webhooks, is_validating=False),
        "validatingadmissionpolicies": _admission_policy,
        "validatingadmissionpolicybindings": _admission_policy,
        "mutatingadmissionpolicies": _UNCLEAR,
        "mutatingadmissionpolicybindings": _UNCLEAR,
    },
    "certificates.k8s.io": {
        "certificatesigningrequests": _signing_request,
        "clustertrustbundles": _TRUST,
    },
    "cert-manager.io": {"issuers": _TRUST, "clusterissuers": _TRUST},
    "trust.cert-manager.io": {"bundles": _TRUST},
    "spire.spiffe.io": {"clusterfederatedtrustdomains": _TRUST, "clusterspiffeids": _UNCLEAR},
    "apiextensions.k8s.io": {"customresourcedefinitions": _definition},
    "apiregistration.k8s.io": {"apiservices": _REROUTE},
    "gateway.networking.k8s.io": {
        "gateways": _EXPOSE,
        "httproutes": _REROUTE,
        "grpcroutes": _REROUTE,
        "tcproutes": _REROUTE,
        "tlsroutes": _REROUTE,
        "udproutes": _REROUTE,
        "referencegrants": policy(_grants),
        "backendtlspolicies": policy(_UNCLEAR),
    },
    "gateway.envoyproxy.io": {
        "envoypatchpolicies": _PATCH,
        "envoyextensionpolicies": _PATCH,
        "envoyproxies": _envoy_proxy,
        "securitypolicies": policy(_UNCLEAR),
        "clienttrafficpolicies": policy(_UNCLEAR),
        "backendtrafficpolicies": _REROUTE,
        "backends": _REROUTE,
    },
}
RULES: Final[dict[tuple[str, str], Rule]] = {
    (group, resource): rule
    for group, rules in _BY_GROUP.items()
    for resource, rule in rules.items()
}
"""By API group and resource."""
