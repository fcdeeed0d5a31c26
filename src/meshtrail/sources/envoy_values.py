"""What single Envoy values mean: enums, cipher suites, identities, policies and denials.

Plain functions of one distinct value, shared by the columnar mapper and its row-wise reference.

Source: envoy.data.accesslog.v3; IANA TLS cipher suites; docs of Envoy's RBAC, ext_authz and
JWT filters for the details strings.
"""

from __future__ import annotations

import re
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Value = TypeVar("_Value", str | None, bytes | None)
_Meaning = TypeVar("_Meaning")

REQUEST_METHODS: Final = {
    1: "GET",
    2: "HEAD",
    3: "POST",
    4: "PUT",
    5: "DELETE",
    6: "CONNECT",
    7: "OPTIONS",
    8: "TRACE",
    9: "PATCH",
}
PROTOCOL_VERSIONS: Final = {1: "1.0", 2: "1.1", 3: "2", 4: "3"}
TLS_VERSIONS: Final = {1: "1.0", 2: "1.1", 3: "1.2", 4: "1.3"}
_ACCESS_LOG_TYPES: Final = (
    "TcpUpstreamConnected",
    "TcpPeriodic",
    "TcpConnectionEnd",
    "DownstreamStart",
    "DownstreamPeriodic",
    "DownstreamEnd",
    "UpstreamPoolReady",
    "UpstreamPeriodic",
    "UpstreamEnd",
    "DownstreamTunnelSuccessfullyEstablished",
    "UdpTunnelUpstreamConnected",
    "UdpPeriodic",
    "UdpSessionEnd",
    "TcpConnectionStart",
)
ACCESS_LOG_TYPES: Final = dict(enumerate(_ACCESS_LOG_TYPES, 1))
CIPHER_SUITES: Final = {
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA",
    0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
    0x009C: "TLS_RSA_WITH_AES_128_GCM_SHA256",
    0x009D: "TLS_RSA_WITH_AES_256_GCM_SHA384",
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}
_OPENSSL_NAMES: Final = {
    "AES128-SHA": 0x002F,
    "AES256-SHA": 0x0035,
    "AES128-GCM-SHA256": 0x009C,
    "AES256-GCM-SHA384": 0x009D,
    "ECDHE-ECDSA-AES128-SHA": 0xC009,
    "ECDHE-ECDSA-AES256-SHA": 0xC00A,
    "ECDHE-RSA-AES128-SHA": 0xC013,
    "ECDHE-RSA-AES256-SHA": 0xC014,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
}
"""OpenSSL has names of its own for the suites before TLS 1.3."""

NO_CIPHER: Final = 0xFFFF
"""What Envoy reports when no handshake got as far as a cipher suite."""

_SUITES_OF_1_3: Final = 0x13

RESPONSE_FLAGS: Final = {
    "failed_local_healthcheck": "LH",
    "no_healthy_upstream": "UH",
    "upstream_request_timeout": "UT",
    "local_reset": "LR",
    "upstream_remote_reset": "UR",
    "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC",
    "upstream_overflow": "UO",
    "no_route_found": "NR",
    "delay_injected": "DI",
    "fault_injected": "FI",
    "rate_limited": "RL",
    "unauthorized_details": "UAEX",
    "rate_limit_service_error": "RLSE",
    "downstream_connection_termination": "DC",
    "upstream_retry_limit_exceeded": "URX",
    "stream_idle_timeout": "SI",
    "invalid_envoy_request_headers": "IH",
    "downstream_protocol_error": "DPE",
    "upstream_max_stream_duration_reached": "UMSDR",
    "response_from_cache_filter": "RFCF",
    "no_filter_config_found": "NFCF",
    "duration_timeout": "DT",
    "upstream_protocol_error": "UPE",
    "no_cluster_found": "NC",
    "overload_manager": "OM",
    "dns_resolution_failure": "DF",
    "downstream_remote_reset": "DR",
}

_SPIFFE_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)", re.ASCII)
_ISTIO_PATH: Final = re.compile(r"/ns/([^/]+)/sa/([^/]+)")
_SPIFFE_ID_BYTES_MAX: Final = 2048
_POLICY: Final = re.compile(r"ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[([^\]]*)\]")
_RBAC_DENIED: Final = re.compile(r"rbac_access_denied(?:_matched_policy\[(.*)\])?", re.DOTALL)
_ESCAPED: Final = re.compile("[\udc80-\udcff]")
_JWT_DENIED: Final = re.compile(r"jwt_authn_access_denied\{(.*)\}", re.DOTALL)


REMEMBERED_MAX: Final = 16_384
"""Distinct values whose meaning is remembered from batch to batch."""
REMEMBERED_LENGTH_MAX: Final = 256
"""Longer values are not remembered: a sender could fill the memory with them."""


def remember(
    read: Callable[[_Value], _Meaning],
) -> Callable[[_Value], _Meaning]:
    """Remember what short values mean, at most 32 MiB for each function."""
    remembered = lru_cache(maxsize=REMEMBERED_MAX)(read)

    @wraps(read)
    def ask(value: _Value) -> _Meaning:
        is_short = value is None or len(value) <= REMEMBERED_LENGTH_MAX
        return remembered(value) if is_short else read(value)

    return ask


class SpiffeParts(NamedTuple):
    """A SPIFFE ID taken apart; all null for what is not one."""

    trust_domain: str | None
    namespace: str | None
    service_account: str | None


@remember
def split_spiffe_id(uri: str | None) -> SpiffeParts:
    """Take a SPIFFE ID apart.

    Source: SPIFFE-ID section 2; the path of Istio, Linkerd's SPIRE and ztunnel.
    """
    match = _SPIFFE_ID.fullmatch(uri) if uri and len(uri) <= _SPIFFE_ID_BYTES_MAX else None
    if match is None or {".", ".."} & set(match[2].split("/")):
        return SpiffeParts(None, None, None)
    istio = _ISTIO_PATH.fullmatch(match[2])
    return SpiffeParts(match[1], istio[1] if istio else None, istio[2] if istio else None)


class PolicyParts(NamedTuple):
    """A policy id taken apart."""

    name: str | None
    namespace: str | None
    rule: str | None


@remember
def split_policy_id(policy_id: str | None) -> PolicyParts:
    """Take Istio's ``ns[…]-policy[…]-rule[…]`` apart; any other id is the name itself."""
    match = _POLICY.fullmatch(policy_id) if policy_id else None
    if match is None:
        return PolicyParts(policy_id or None, None, None)
    return PolicyParts(match[2], match[1], match[3])


class Denial(NamedTuple):
    """What a details string says about a refusal; all null when it says nothing."""

    decision: str | None
    policy_id: str | None
    reason: str | None


@remember
def read_denial(details: str | None) -> Denial:
    """Read a refusal from response code details or connection termination details.

    RBAC leaves no response flag behind, so these strings are where a denial shows. Policy
    ``none`` is Envoy's word for no policy matched.
    """
    if not details:
        return Denial(None, None, None)
    rbac = _RBAC_DENIED.fullmatch(details)
    if rbac:
        policy = rbac[1] if rbac[1] and rbac[1] != "none" else None
        return Denial("denied", policy, "rbac")
    jwt = _JWT_DENIED.fullmatch(details)
    if jwt:
        return Denial("denied", None, f"jwt_authn: {jwt[1]}")
    if details == "ext_authz_denied":
        return Denial("denied", None, "ext_authz")
    if details == "ext_authz_error":
        return Denial("error", None, "ext_authz")
    return Denial(None, None, None)


def enum_name(code: int | None, names: Mapping[int, str]) -> str | None:
    """The name of an enum's number; null for 0, the number itself where the table ends."""
    return names.get(code, f"{code}") if code else None


def cipher_suite_name(code: int | None) -> str | None:
    """The IANA name of a cipher suite; its number in hex where the table has none."""
    if code is None or code == NO_CIPHER:
        return None
    return CIPHER_SUITES.get(code, f"0x{code:04X}")


def cipher_of_text(name: str | None) -> str | None:
    """The IANA name of a cipher suite by its OpenSSL name; the name itself where it has none."""
    code = _OPENSSL_NAMES.get(name) if name else None
    return name if code is None else CIPHER_SUITES[code]


def tls_version_of_text(version: str | None) -> str | None:
    """``1.3`` for ``TLSv1.3``, and so on; null for what is no version of ``TLS_VERSIONS``."""
    number = {"TLSv1": "1.0"}.get(version, version.removeprefix("TLSv")) if version else None
    return number if number in TLS_VERSIONS.values() and number != version else None


def tls_version_of_cipher(name: str | None) -> str | None:
    """``1.3`` for its suites, whose names say nothing of keys and so have no ``WITH``."""
    return "1.3" if name and name.startswith("TLS_") and "_WITH_" not in name else None


def protocol_of_text(protocol: str | None) -> str | None:
    """``1.1`` for ``HTTP/1.1``, and so on; null for what is no HTTP of ``PROTOCOL_VERSIONS``."""
    number = protocol.removeprefix("HTTP/") if protocol else None
    return number if number in PROTOCOL_VERSIONS.values() and number != protocol else None


def flags_of_text(flags: str | None) -> str | None:
    """Short codes joined by commas, in the order of ``RESPONSE_FLAGS``, those it has not last.

    Envoy writes them in an order of its own.
    """
    codes = [code for code in flags.split(",") if code] if flags else []
    order = {code: place for place, code in enumerate(RESPONSE_FLAGS.values())}
    return ",".join(sorted(codes, key=lambda code: order.get(code, len(order)))) or None


class Uris(NamedTuple):
    """The URI SANs of a certificate: the only one, and whether there are several."""

    only: str | None
    is_many: bool


def uris_of_text(names: str | None) -> Uris:
    """Names that Envoy has joined by commas. One that holds a comma counts as several."""
    uris = [uri for uri in names.split(",") if uri] if names else []
    return Uris(uris[0] if len(uris) == 1 else None, len(uris) > 1)


def mend_utf8(data: bytes) -> str:
    """Text with ``!`` for each byte that is no UTF-8, as Envoy's access log service mends it."""
    # Each such byte becomes half of a surrogate pair, which no UTF-8 holds otherwise.
    return _ESCAPED.sub("!", data.decode(errors="surrogateescape"))


def tls_version_name(code: int | None, suite: int | None) -> str | None:
    """The version that a handshake agreed on; null where it got no further than the greeting.

    Envoy names 1.2 for a connection that has agreed on nothing yet, and goes on doing so where it
    was asked too early (a record of the connection's start). The suites of 1.3 are its own.

    Source: RFC 8446 appendix B.4; a real Envoy 1.40.
    """
    if suite == NO_CIPHER:
        return None
    if suite is not None and suite >> 8 == _SUITES_OF_1_3:
        return "1.3"
    return enum_name(code, TLS_VERSIONS)


def side_of(
    *, upstream_cluster: str | None, has_peer_certificate: bool, has_downstream_tls: bool
) -> str | None:
    """Which end of the call reports, as far as the record tells.

    Istio names its clusters; otherwise a verified caller's certificate makes the destination, and
    an upstream without downstream TLS the source. A record that fits neither says nothing.
    """
    if upstream_cluster and upstream_cluster.startswith("inbound|"):
        return "destination"
    if upstream_cluster and upstream_cluster.startswith("outbound|"):
        return "source"
    if has_peer_certificate:
        return "destination"
    if upstream_cluster and not has_downstream_tls:
        return "source"
    return None
