"""What changes of the objects of Linkerd, Cilium, Kuma and Consul do to security.

Source: the API references of each (policy.linkerd.io, cilium.io, kuma.io, consul.hashicorp.com).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from meshtrail.sources.kubernetes.json_parts import list_of, objects_of, part_of, text_of
from meshtrail.sources.kubernetes.match_direction import compare_rules
from meshtrail.sources.kubernetes.security_change import (
    Found,
    Rule,
    SecurityChange,
    compare_allowing,
    compare_levels,
    compare_listed,
    direction_found,
    on_coming_and_going,
    on_touch,
    policy,
    rules_at,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meshtrail.sources.kubernetes.json_parts import Json
    from meshtrail.sources.kubernetes.security_change import Change

ModesOf: TypeAlias = "Callable[[Json], Iterator[str]]"

_STRICT: Final = 2
_MTLS_MODES: Final = {"disable": 0, "permissive": 1, "strict": 2}
_DIRECTIONS: Final = ("ingress", "egress")


def _cilium_policy(change: Change) -> Found:
    found: Found = set()
    if change.is_partial:
        return {SecurityChange.UNCLEAR} if change.states_spec else found
    for direction in _DIRECTIONS:
        found |= compare_allowing(change, partial(_cilium_rules, direction))
        found |= _compare_denying(change, f"{direction}Deny")
    if change.before is not None and change.after is not None:
        old, new = (
            [(spec.get("endpointSelector"), spec.get("nodeSelector")) for spec in _specs(side)]
            for side in _sides(change)
        )
        if old != new:
            found.add(SecurityChange.UNCLEAR)
    return found


def _sides(change: Change) -> tuple[Json | None, Json | None]:
    return change.before, change.after


def _specs(value: Json | None) -> list[Json]:
    return [part_of(value, "spec"), *objects_of(value, "specs")]


def _cilium_rules(direction: str, value: Json) -> list[object] | None:
    """What is let through; None where the policy has no say in this direction."""
    stated = [spec for spec in _specs(value) if isinstance(spec.get(direction), list)]
    return [rule for spec in stated for rule in list_of(spec, direction)] if stated else None


def _compare_denying(change: Change, name: str) -> Found:
    old, new = (
        [rule for spec in _specs(side) for rule in list_of(spec, name)] for side in _sides(change)
    )
    if change.knows_before:
        return direction_found(compare_rules(old, new).turned())
    return {SecurityChange.UNCLEAR} if new else set()


def _mtls(modes_of: ModesOf) -> Rule:
    """A rule for objects that state modes of mutual TLS.

    Args:
        modes_of: gives the modes that an object states.
    """

    def level(value: Json) -> int | None:
        stated = [
            _MTLS_MODES[mode.lower()] for mode in modes_of(value) if mode.lower() in _MTLS_MODES
        ]
        return min(stated) if stated else None

    return lambda change: compare_levels(
        change,
        level,
        top=_STRICT,
        down=SecurityChange.MTLS_DOWNGRADE,
        up=SecurityChange.MTLS_STRICT,
    )


def _kuma_tls_modes(value: Json) -> Iterator[str]:
    spec = part_of(value, "spec")
    for rule in (*objects_of(spec, "from"), *objects_of(spec, "rules")):
        mode = text_of(rule, "default", "mode")
        if mode is not None:
            yield mode


def _kuma_mesh(change: Change) -> Found:
    found = _mtls(_kuma_mesh_modes)(change)
    if change.differs("spec.mtls.backends", "spec.mtls.enabledBackend"):
        found = {*found, SecurityChange.TRUST_ROOT_CHANGED}
    had, has = (text_of(side, "spec", "mtls", "enabledBackend") for side in _sides(change))
    if had is not None and has is None and not change.is_partial:
        found = {*found, SecurityChange.MTLS_DOWNGRADE}
    if change.differs("spec.logging"):
        found = {*found, SecurityChange.UNCLEAR}
    return set(found)


def _kuma_mesh_modes(value: Json) -> Iterator[str]:
    """The modes of the backends; one that says none is strict, and was not made so."""
    for backend in objects_of(value, "spec", "mtls", "backends"):
        mode = text_of(backend, "mode")
        if mode is not None:
            yield mode


def _kuma_permission(change: Change) -> Found:
    """Permissions add to each other; those that deny do the contrary."""
    if change.is_created or (change.is_removed and change.knows_before):
        actions = _kuma_actions(change.after if change.is_created else change.before)
        if len(actions) == 1 and actions <= {"allow", "deny"}:
            is_wider = ("allow" in actions) == change.is_created
            return {SecurityChange.WIDENED if is_wider else SecurityChange.NARROWED}
    return {SecurityChange.UNCLEAR} if change.touches_spec else set()


def _kuma_actions(value: Json | None) -> set[str]:
    spec = part_of(value, "spec")
    actions = [text_of(rule, "default", "action") for rule in objects_of(spec, "from")]
    for rule in objects_of(spec, "rules"):
        named = part_of(rule, "default")
        actions += [name for name in ("allow", "deny") if named.get(name)]
    return {action.lower() for action in actions if action is not None}


def _intentions(change: Change) -> Found:
    """Consul's intentions: sources that are let through, and such that are not."""
    found: Found = set()
    for action, more, less in (
        ("allow", SecurityChange.WIDENED, SecurityChange.NARROWED),
        ("deny", SecurityChange.NARROWED, SecurityChange.WIDENED),
    ):
        if change.knows_before:
            sources = partial(_sources, action)
            found |= compare_listed(change, sources, more=more, less=less)
        elif change.touches_spec:
            found.add(SecurityChange.UNCLEAR)
    if change.knows_before and _sources("", change.before) != _sources("", change.after):
        # By path and method: what comes first counts.
        found.add(SecurityChange.UNCLEAR)
    return found


def _sources(action: str, value: Json | None) -> list[object]:
    """The sources with an action; with an empty one those that state permissions instead."""
    return [
        source
        for source in objects_of(value, "spec", "sources")
        if (text_of(source, "action") or "") == action
    ]


def _consul_defaults(change: Change) -> Found:
    """Defaults of proxies and services: TLS, logging and extensions among much else."""
    found = set(_mtls(_consul_modes)(change))
    had, has = (part_of(side, "spec", "accessLogs").get("enabled") for side in _sides(change))
    was_lost = had is True and has is not True and not change.is_partial
    if was_lost or (has is False and had is not False):
        found.add(SecurityChange.LOGGING_DISABLED)
    elif has is True and had is not True:
        found.add(SecurityChange.LOGGING_ENABLED)
    if change.differs("spec.envoyExtensions", "spec.config"):
        found.add(SecurityChange.PROXY_PATCHED)
    return found


def _consul_modes(value: Json) -> Iterator[str]:
    mode = text_of(value, "spec", "mutualTLSMode")
    if mode is not None:
        yield mode


def _consul_mesh(change: Change) -> Found:
    if not change.differs("spec"):
        return set()
    had, has = (
        part_of(side, "spec").get("allowEnablingPermissiveMutualTLS") for side in _sides(change)
    )
    is_weaker = has is True and had is not True
    return {SecurityChange.MTLS_DOWNGRADE if is_weaker else SecurityChange.UNCLEAR}


_PATCH: Final = on_touch(SecurityChange.PROXY_PATCHED)
_REROUTE: Final = on_touch(SecurityChange.REROUTED)
_TRUST: Final = on_touch(SecurityChange.TRUST_ROOT_CHANGED)
_UNCLEAR: Final = on_touch(SecurityChange.UNCLEAR)
_EXPOSE: Final = on_coming_and_going(more=SecurityChange.EXPOSED, less=SecurityChange.UNEXPOSED)
_LETS_IN: Final = policy(
    on_coming_and_going(more=SecurityChange.WIDENED, less=SecurityChange.NARROWED)
)
_SHUTS_OUT: Final = policy(
    on_coming_and_going(more=SecurityChange.NARROWED, less=SecurityChange.WIDENED)
)
_LOGS: Final = on_coming_and_going(
    more=SecurityChange.LOGGING_ENABLED, less=SecurityChange.LOGGING_DISABLED
)


def _named(*path: str) -> Rule:
    """A rule for lists of whom policies mean."""
    return lambda change: compare_listed(
        change, rules_at(*path), more=SecurityChange.WIDENED, less=SecurityChange.NARROWED
    )


_LINKERD: Final[dict[str, Rule]] = {
    "servers": _SHUTS_OUT,
    "authorizationpolicies": _LETS_IN,
    "serverauthorizations": _LETS_IN,
    "meshtlsauthentications": _named("spec", "identities"),
    "networkauthentications": _named("spec", "networks"),
    "egressnetworks": policy(_UNCLEAR),
    "httproutes": _REROUTE,
}
_CILIUM: Final[dict[str, Rule]] = {
    "ciliumnetworkpolicies": policy(_cilium_policy),
    "ciliumclusterwidenetworkpolicies": policy(_cilium_policy),
    "ciliumcidrgroups": _named("spec", "externalCIDRs"),
    "ciliumenvoyconfigs": _PATCH,
    "ciliumclusterwideenvoyconfigs": _PATCH,
    "ciliumegressgatewaypolicies": _REROUTE,
    "ciliumlocalredirectpolicies": _REROUTE,
}
_KUMA: Final[dict[str, Rule]] = {
    "meshes": _kuma_mesh,
    "meshtlses": _mtls(_kuma_tls_modes),
    "meshtrafficpermissions": policy(_kuma_permission),
    "trafficpermissions": _LETS_IN,
    "meshaccesslogs": _LOGS,
    "trafficlogs": _LOGS,
    "meshproxypatches": _PATCH,
    "proxytemplates": _PATCH,
    "meshhttproutes": _REROUTE,
    "meshtcproutes": _REROUTE,
    "trafficroutes": _REROUTE,
    "meshexternalservices": _REROUTE,
    "externalservices": _REROUTE,
    "meshpassthroughs": _UNCLEAR,
    "meshgateways": _EXPOSE,
    "meshidentities": _TRUST,
    "meshtrusts": _TRUST,
}
_CONSUL: Final[dict[str, Rule]] = {
    "serviceintentions": policy(_intentions),
    "proxydefaults": _consul_defaults,
    "servicedefaults": _consul_defaults,
    "meshes": _consul_mesh,
    "servicerouters": _REROUTE,
    "servicesplitters": _REROUTE,
    "serviceresolvers": _REROUTE,
    "ingressgateways": _EXPOSE,
    "terminatinggateways": _EXPOSE,
    "exportedservices": _named("spec", "services"),
    "jwtproviders": _TRUST,
    "peeringacceptors": _TRUST,
    "peeringdialers": _TRUST,
}
RULES: Final[dict[tuple[str, str], Rule]] = {
    (group, resource): rule
    for group, rules in {
        "policy.linkerd.io": _LINKERD,
        "cilium.io": _CILIUM,
        "kuma.io": _KUMA,
        "consul.hashicorp.com": _CONSUL,
        "linkerd.io": {"serviceprofiles": _REROUTE},
        "multicluster.linkerd.io": {"links": _TRUST},
    }.items()
    for resource, rule in rules.items()
}
"""By API group and resource."""
