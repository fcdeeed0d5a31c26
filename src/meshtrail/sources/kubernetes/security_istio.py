"""What changes of Istio's objects do to security.

Source: Istio's API reference (security, networking, telemetry, extensions), MeshConfig.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from meshtrail.sources.kubernetes.json_parts import list_of, objects_of, part_of, text_of
from meshtrail.sources.kubernetes.match_direction import compare_rules
from meshtrail.sources.kubernetes.security_change import (
    Found,
    Rule,
    SecurityChange,
    annotation_of,
    compare_allowing,
    compare_levels,
    compare_listed,
    direction_found,
    on_touch,
    policy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.sources.kubernetes.json_parts import Json
    from meshtrail.sources.kubernetes.security_change import Change

_MTLS_MODES: Final = {"DISABLE": 0, "PERMISSIVE": 1, "STRICT": 2}
_TLS_MODES: Final = {"DISABLE": 0, "SIMPLE": 1, "MUTUAL": 2, "ISTIO_MUTUAL": 2}
_SERVER_MODES: Final = {"SIMPLE": 1, "OPTIONAL_MUTUAL": 1, "MUTUAL": 2, "ISTIO_MUTUAL": 2}
_OUTBOUND_MODES: Final = {"ALLOW_ANY": 0, "REGISTRY_ONLY": 1}
_MUTUAL: Final = 2
_DRY_RUN: Final = "istio.io/dry-run"
_DEFAULT_ACTION: Final = "ALLOW"
_TRUSTED_KEYS: Final = ("trustDomain", "trustDomainAliases", "caCertificates")
_ACTION_CHANGES: Final = {
    ("DENY", "AUDIT"): SecurityChange.WIDENED,
    ("AUDIT", "DENY"): SecurityChange.NARROWED,
}


def _peer_authentication(change: Change) -> Found:
    if change.is_removed and not change.knows_before:
        return {SecurityChange.UNCLEAR}
    found = compare_levels(
        change,
        _mtls_level,
        top=_MUTUAL,
        down=SecurityChange.MTLS_DOWNGRADE,
        up=SecurityChange.MTLS_STRICT,
    )
    if change.is_partial and change.states_spec and not found:
        # A mode that is set to nothing is whatever the namespace's or the mesh's is.
        found = {SecurityChange.UNCLEAR}
    return found | _scope_change(change)


def _mtls_level(value: Json) -> int | None:
    modes = [text_of(value, "spec", "mtls", "mode")]
    modes += [text_of(port, "mode") for port in part_of(value, "spec", "portLevelMtls").values()]
    return _lowest(modes, _MTLS_MODES)


def _lowest(modes: list[str | None], levels: dict[str, int]) -> int | None:
    stated = [levels[mode] for mode in modes if mode in levels]
    return min(stated) if stated else None


def _scope_change(change: Change) -> Found:
    """Which workloads it is about, where it was about others."""
    if change.before is None or change.is_removed:
        return set()
    is_moved = change.differs("spec.selector", "spec.targetRef", "spec.targetRefs")
    return {SecurityChange.UNCLEAR} if is_moved else set()


def _authorization_policy(change: Change) -> Found:
    enforced = replace(change, before=_enforced(change.before), after=_enforced(change.after))
    if change.is_partial:
        is_stated = change.states_spec or annotation_of(change.after, _DRY_RUN) is not None
        return {SecurityChange.UNCLEAR} if is_stated else set()
    if enforced.before is None and enforced.after is None and change.knows_before:
        return set()
    actions = [_action(side) for side in (enforced.before, enforced.after) if side is not None]
    if not actions:
        return {SecurityChange.UNCLEAR}
    if len(set(actions)) > 1:
        return {_ACTION_CHANGES.get((actions[0], actions[1]), SecurityChange.UNCLEAR)}
    if actions[0] == "ALLOW":
        found = compare_allowing(enforced, lambda value: list_of(value, "spec", "rules"))
    else:
        found = _compare_denying(enforced) if actions[0] != "AUDIT" else set()
    return found | _scope_change(enforced)


def _enforced(value: Json | None) -> Json | None:
    return None if annotation_of(value, _DRY_RUN) == "true" else value


def _action(value: Json) -> str:
    return text_of(value, "spec", "action") or _DEFAULT_ACTION


def _compare_denying(change: Change) -> Found:
    """Rules each of which shuts traffic out: all is the other way round."""
    old = list_of(change.before, "spec", "rules")
    new = list_of(change.after, "spec", "rules")
    if change.knows_before:
        return direction_found(compare_rules(old, new).turned())
    if change.is_removed:
        return {SecurityChange.UNCLEAR}
    if not new:
        return {SecurityChange.WIDENED}
    return {SecurityChange.NARROWED if {} in new else SecurityChange.UNCLEAR}


def _request_authentication(change: Change) -> Found:
    if change.is_created or change.is_removed:
        return {SecurityChange.NARROWED if change.is_created else SecurityChange.WIDENED}
    if not change.touches_spec:
        return set()
    if change.knows_before and _issuers(change.before) == _issuers(change.after):
        return {SecurityChange.UNCLEAR}
    return {SecurityChange.TRUST_ROOT_CHANGED}


def _issuers(value: Json | None) -> list[tuple[str | None, ...]]:
    names = ("issuer", "jwksUri", "jwks", "jwks_uri")
    return [
        tuple(text_of(rule, name) for name in names)
        for rule in objects_of(value, "spec", "jwtRules")
    ]


def _destination_rule(change: Change) -> Found:
    found = compare_levels(
        change,
        _tls_level,
        top=_MUTUAL,
        down=SecurityChange.MTLS_DOWNGRADE,
        up=SecurityChange.MTLS_STRICT,
    )
    if change.differs("spec.host", "spec.subsets", "spec.exportTo"):
        found.add(SecurityChange.REROUTED)
    return found


def _tls_level(value: Json) -> int | None:
    settings = list(_tls_settings(value))
    if any(each.get("insecureSkipVerify") is True for each in settings):
        return 0
    return _lowest([text_of(each, "mode") for each in settings], _TLS_MODES)


def _tls_settings(value: Json) -> Iterator[Json]:
    spec = part_of(value, "spec")
    for owner in (spec, *objects_of(spec, "subsets")):
        traffic = part_of(owner, "trafficPolicy")
        for each in (traffic, *objects_of(traffic, "portLevelSettings")):
            yield part_of(each, "tls")


def _telemetry(change: Change) -> Found:
    old, new = (_logging(side) for side in (change.before, change.after))
    if change.is_removed:
        lost = {"on": SecurityChange.LOGGING_DISABLED}
        return {lost.get(old or "", SecurityChange.UNCLEAR)}
    if new is None or (old == new and change.knows_before):
        is_lost = change.differs("spec.accessLogging", "spec.tracing")
        return {SecurityChange.UNCLEAR} if new is None and is_lost else set()
    return {
        {
            "on": SecurityChange.LOGGING_ENABLED,
            "some": SecurityChange.LOGGING_REDUCED,
            "off": SecurityChange.LOGGING_DISABLED,
        }[new]
    }


def _logging(value: Json | None) -> str | None:
    """What is logged: off, some, on, or nothing is said of it. The least counts."""
    found = set()
    for logging in objects_of(value, "spec", "accessLogging"):
        mode = text_of(logging, "match", "mode")
        if logging.get("disabled") is True:
            found.add("off")
        elif part_of(logging, "filter") or mode in {"CLIENT", "SERVER"}:
            found.add("some")
        else:
            found.add("on")
    for tracing in objects_of(value, "spec", "tracing"):
        if tracing.get("disableSpanReporting") is True:
            found.add("some")
    return next((state for state in ("off", "some", "on") if state in found), None)


def _gateway(change: Change) -> Found:
    found = compare_listed(
        change,
        lambda value: list_of(value, "spec", "servers"),
        more=SecurityChange.EXPOSED,
        less=SecurityChange.UNEXPOSED,
    )
    if change.before is not None and change.after is not None:
        found |= compare_levels(
            change,
            _server_level,
            top=_MUTUAL,
            down=SecurityChange.MTLS_DOWNGRADE,
            up=SecurityChange.MTLS_STRICT,
        )
    return found


def _server_level(value: Json) -> int | None:
    servers = objects_of(value, "spec", "servers")
    return _lowest([text_of(server, "tls", "mode") for server in servers], _SERVER_MODES)


def _sidecar(change: Change) -> Found:
    found = {SecurityChange.REROUTED} if change.touches_spec else set()
    return found | compare_levels(
        change,
        lambda value: _lowest(
            [text_of(value, "spec", "outboundTrafficPolicy", "mode")], _OUTBOUND_MODES
        ),
        top=1,
        down=SecurityChange.WIDENED,
        up=SecurityChange.NARROWED,
    )


def mesh_config(change: Change) -> Found:
    """What a change of the ConfigMap with Istio's mesh configuration does, as far as lines tell."""
    if change.is_removed:
        return {SecurityChange.UNCLEAR}
    if not change.differs("data"):
        return set()
    old, new = (
        _yaml_blocks(text_of(side, "data", "mesh")) for side in (change.before, change.after)
    )
    found: Found = set()
    if change.before is not None and any(old.get(key) != new.get(key) for key in _TRUSTED_KEYS):
        found.add(SecurityChange.TRUST_ROOT_CHANGED)
    is_logging, was_logging = (bool(block.get("accessLogFile")) for block in (new, old))
    if was_logging and not is_logging:
        found.add(SecurityChange.LOGGING_DISABLED)
    elif is_logging and not was_logging and change.knows_before:
        found.add(SecurityChange.LOGGING_ENABLED)
    elif not change.knows_before and new.get("accessLogFile") == "":
        found.add(SecurityChange.LOGGING_DISABLED)
    if new.get("enableAutoMtls") == "false" != old.get("enableAutoMtls"):
        found.add(SecurityChange.MTLS_DOWNGRADE)
    return found or {SecurityChange.UNCLEAR}


def _yaml_blocks(text: str | None) -> dict[str, str]:
    """The keys of the outermost level of a YAML text, each with what stands under it.

    Mesh configuration is written in blocks; what is written otherwise is not read.
    """
    blocks: dict[str, str] = {}
    key = ""
    for line in (text or "").split("\n"):
        if line[:1].isalpha() and ":" in line:
            key, _, value = line.partition(":")
            blocks[key] = value.split(" #")[0].strip().strip("\"'")
        elif key and line.strip():
            blocks[key] += f"\n{line}"
    return blocks


_PATCH: Final = on_touch(SecurityChange.PROXY_PATCHED)
_REROUTE: Final = on_touch(SecurityChange.REROUTED)

RULES: Final[dict[tuple[str, str], Rule]] = {
    ("security.istio.io", "peerauthentications"): policy(_peer_authentication),
    ("security.istio.io", "authorizationpolicies"): policy(_authorization_policy),
    ("security.istio.io", "requestauthentications"): policy(_request_authentication),
    ("networking.istio.io", "destinationrules"): _destination_rule,
    ("networking.istio.io", "gateways"): _gateway,
    ("networking.istio.io", "sidecars"): _sidecar,
    ("networking.istio.io", "envoyfilters"): _PATCH,
    ("networking.istio.io", "proxyconfigs"): _PATCH,
    ("networking.istio.io", "virtualservices"): _REROUTE,
    ("networking.istio.io", "serviceentries"): _REROUTE,
    ("networking.istio.io", "workloadentries"): _REROUTE,
    ("networking.istio.io", "workloadgroups"): _REROUTE,
    ("extensions.istio.io", "wasmplugins"): _PATCH,
    ("telemetry.istio.io", "telemetries"): _telemetry,
    ("install.istio.io", "istiooperators"): on_touch(SecurityChange.UNCLEAR),
}
"""By API group and resource."""
