from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.sources.kubernetes.security_changes import classify_change

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

GET: Json = {"to": [{"operation": {"methods": ["GET"]}}]}
READ: Json = {"to": [{"operation": {"methods": ["GET", "HEAD"]}}]}
GROUPS = {
    "peerauthentications": "security.istio.io",
    "authorizationpolicies": "security.istio.io",
    "requestauthentications": "security.istio.io",
    "telemetries": "telemetry.istio.io",
    "wasmplugins": "extensions.istio.io",
    "configmaps": "",
}


def found(
    resource: str, before: Json | None, after: Json | None, *, name: str = "n"
) -> frozenset[str]:
    group = GROUPS.get(resource, "networking.istio.io")
    sides = [None if side is None else {"spec": side} for side in (before, after)]
    changes = classify_change(*sides, group=group, resource=resource, name=name)
    return frozenset(change.value for change in changes)


def mode(name: str, **ports: str) -> Json:
    return {
        "mtls": {"mode": name},
        "portLevelMtls": {port[1:]: {"mode": mode} for port, mode in ports.items()},
    }


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (mode("STRICT"), mode("PERMISSIVE"), {"mtls_downgrade"}),
        (mode("PERMISSIVE"), mode("DISABLE"), {"mtls_downgrade"}),
        (mode("STRICT"), mode("STRICT", p8080="DISABLE"), {"mtls_downgrade"}),
        (mode("PERMISSIVE"), mode("STRICT"), {"mtls_strict"}),
        (mode("STRICT"), mode("UNSET"), {"mtls_downgrade"}),
        (mode("UNSET"), mode("STRICT"), {"mtls_strict"}),
        (mode("STRICT"), mode("STRICT"), set()),
        (mode("STRICT"), mode("STRICT") | {"selector": {"a": "b"}}, {"unclear"}),
        (None, mode("STRICT"), {"policy_added", "mtls_strict"}),
        (None, mode("PERMISSIVE"), {"policy_added", "mtls_downgrade"}),
        (mode("STRICT"), None, {"policy_removed", "mtls_downgrade"}),
        (mode("DISABLE"), None, {"policy_removed", "unclear"}),
    ],
)
def test_peer_authentication_makes_mutual_tls_stricter_or_less_so(
    before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found("peerauthentications", before, after) == wanted


def rules(*items: Json, action: str | None = None) -> Json:
    return {"rules": [*items]} | ({"action": action} if action else {})


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (rules(GET), rules(READ), {"widened"}),
        (rules(READ), rules(GET), {"narrowed"}),
        (rules(GET), rules(GET, action="ALLOW"), set()),
        (rules(GET), rules(GET, {"from": [{"source": {}}]}), {"widened"}),
        (rules(GET), rules({}), {"widened"}),
        (rules(GET), {}, {"narrowed"}),
        (rules(GET, action="DENY"), rules(READ, action="DENY"), {"narrowed"}),
        (rules(READ, action="DENY"), rules(GET, action="DENY"), {"widened"}),
        (rules(GET, action="CUSTOM"), rules(action="CUSTOM"), {"widened"}),
        (rules(GET, action="AUDIT"), rules(READ, action="AUDIT"), set()),
        (rules(GET, action="DENY"), rules(GET, action="AUDIT"), {"widened"}),
        (rules(GET, action="AUDIT"), rules(GET, action="DENY"), {"narrowed"}),
        (rules(GET, action="DENY"), rules(GET), {"unclear"}),
        (rules(GET), rules(GET) | {"selector": {"matchLabels": {"a": "b"}}}, {"unclear"}),
        (None, rules(GET, action="DENY"), {"policy_added", "narrowed"}),
        (rules(GET, action="DENY"), None, {"policy_removed", "widened"}),
        (None, rules(GET), {"policy_added", "unclear"}),
        (rules(GET), None, {"policy_removed", "unclear"}),
        (None, {}, {"policy_added", "narrowed"}),
        ({}, None, {"policy_removed", "widened"}),
        (rules({}), None, {"policy_removed", "narrowed"}),
    ],
)
def test_authorization_policy_lets_more_or_less_through(
    before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found("authorizationpolicies", before, after) == wanted


def test_policy_that_is_only_tried_out_decides_nothing() -> None:
    dry: Json = {"annotations": {"istio.io/dry-run": "true"}}
    denying: Json = {"spec": rules(GET, action="DENY")}
    tried = denying | {"metadata": dry}

    def changes(before: Json | None, after: Json | None) -> set[str]:
        return set(
            classify_change(
                before, after, group="security.istio.io", resource="authorizationpolicies"
            )
        )

    assert changes(denying, tried) == {"widened"}
    assert changes(tried, denying) == {"narrowed"}
    assert changes(None, tried) == {"policy_added"}
    assert changes(tried, None) == {"policy_removed"}


def issuer(name: str, **more: str) -> Json:
    return {"jwtRules": [{"issuer": name, **more}]}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (None, issuer("a"), {"policy_added", "narrowed"}),
        (issuer("a"), None, {"policy_removed", "widened"}),
        (issuer("a"), issuer("b"), {"trust_root_changed"}),
        (issuer("a"), issuer("a", jwksUri="https://b"), {"trust_root_changed"}),
        (issuer("a"), issuer("a", forward="x"), {"unclear"}),
        (issuer("a"), issuer("a"), set()),
    ],
)
def test_request_authentication_says_whose_tokens_count(
    before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found("requestauthentications", before, after) == wanted


def tls(name: str, **more: object) -> Json:
    return {"host": "h", "trafficPolicy": {"tls": {"mode": name, **more}}}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (tls("ISTIO_MUTUAL"), tls("DISABLE"), {"mtls_downgrade"}),
        (tls("ISTIO_MUTUAL"), tls("SIMPLE"), {"mtls_downgrade"}),
        (tls("DISABLE"), tls("ISTIO_MUTUAL"), {"mtls_strict"}),
        (tls("MUTUAL"), tls("MUTUAL", insecureSkipVerify=True), {"mtls_downgrade"}),
        (tls("MUTUAL"), tls("ISTIO_MUTUAL"), set()),
        (
            tls("ISTIO_MUTUAL"),
            tls("ISTIO_MUTUAL") | {"subsets": [{"trafficPolicy": {"tls": {"mode": "DISABLE"}}}]},
            {"mtls_downgrade", "rerouted"},
        ),
        (
            {"host": "h"},
            {
                "host": "h",
                "trafficPolicy": {"portLevelSettings": [{"tls": {"mode": "DISABLE"}}]},
            },
            {"mtls_downgrade"},
        ),
        (tls("SIMPLE"), tls("SIMPLE") | {"host": "other"}, {"rerouted"}),
    ],
)
def test_destination_rule_switches_mutual_tls_off(
    before: Json, after: Json, wanted: set[str]
) -> None:
    assert found("destinationrules", before, after) == wanted


ON: Json = {"accessLogging": [{"providers": [{"name": "otel"}]}]}
OFF: Json = {"accessLogging": [{"disabled": True}]}
SOME: Json = {"accessLogging": [{"filter": {"expression": "response.code >= 400"}}]}
HALF: Json = {"accessLogging": [{"match": {"mode": "CLIENT"}}]}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (ON, OFF, {"logging_disabled"}),
        (OFF, ON, {"logging_enabled"}),
        (ON, SOME, {"logging_reduced"}),
        (ON, HALF, {"logging_reduced"}),
        (ON, None, {"logging_disabled"}),
        (OFF, None, {"unclear"}),
        (None, OFF, {"logging_disabled"}),
        (None, {"metrics": []}, set()),
        (ON, {}, {"unclear"}),
        (ON, ON, set()),
        (ON, ON | {"tracing": [{"disableSpanReporting": True}]}, {"logging_reduced"}),
    ],
)
def test_telemetry_says_what_is_logged(
    before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found("telemetries", before, after) == wanted


def server(*hosts: str, mode: str = "MUTUAL") -> Json:
    return {"servers": [{"hosts": [*hosts], "tls": {"mode": mode}}]}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (None, server("a"), {"exposed"}),
        (server("a"), None, {"unexposed"}),
        (server("a"), server("a", "b"), {"exposed"}),
        (server("a"), server("*"), {"exposed"}),
        (server("a", "b"), server("a"), {"unexposed"}),
        (server("a"), server("a", mode="SIMPLE"), {"unclear", "mtls_downgrade"}),
        (server("a"), server("a"), set()),
    ],
)
def test_gateway_opens_doors(before: Json | None, after: Json | None, wanted: set[str]) -> None:
    assert found("gateways", before, after) == wanted


def test_sidecar_lets_out_what_is_not_registered() -> None:
    registered: Json = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    anything: Json = {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}
    assert found("sidecars", registered, anything) == {"widened", "rerouted"}
    assert found("sidecars", anything, registered) == {"narrowed", "rerouted"}


@pytest.mark.parametrize(
    ("resource", "wanted"),
    [
        ("envoyfilters", "proxy_patched"),
        ("wasmplugins", "proxy_patched"),
        ("proxyconfigs", "proxy_patched"),
        ("virtualservices", "rerouted"),
        ("serviceentries", "rerouted"),
        ("workloadentries", "rerouted"),
    ],
)
def test_routes_and_patches_are_that_whatever_they_say(resource: str, wanted: str) -> None:
    assert found(resource, {"a": 1}, {"a": 2}) == {wanted}
    assert found(resource, None, {"a": 2}) == found(resource, {"a": 1}, None) == {wanted}
    assert found(resource, {"a": 1}, {"a": 1}) == set()


MESH = """\
accessLogFile: /dev/stdout
trustDomain: cluster.local  # the default
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
"""


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        (MESH, set()),
        (MESH.replace("/dev/stdout", '""'), {"logging_disabled"}),
        (MESH.replace("accessLogFile: /dev/stdout\n", ""), {"logging_disabled"}),
        (MESH.replace("cluster.local", "other.local"), {"trust_root_changed"}),
        (f"{MESH}trustDomainAliases:\n- old.local\n", {"trust_root_changed"}),
        (f"{MESH}enableAutoMtls: false\n", {"mtls_downgrade"}),
        (MESH.replace("15012", "15010"), {"unclear"}),
    ],
)
def test_mesh_configuration_is_read_as_far_as_its_lines_tell(after: str, wanted: set[str]) -> None:
    before, now = ({"data": {"mesh": text}} for text in (MESH, after))
    for name in ("istio", "istio-canary"):
        changes = classify_change(before, now, group="", resource="configmaps", name=name)
        assert {change.value for change in changes} == wanted
