"""Envoy's OpenTelemetry access log: which attribute is which of Envoy's facts, and fills what.

``meshtrail emit-config`` asks for these attributes and ``sources.otlp_logs`` reads them. A key is a
stable name of the OpenTelemetry semantic conventions where one means just what the operator gives,
and ``envoy.…`` otherwise. Data only.

Source: Envoy 1.40, "Access logging", format operators; each was tried beside the access log service
(tests/e2e/test_otlp_access_logs.py).
"""

from __future__ import annotations

from enum import Flag, auto
from typing import Final, NamedTuple

from meshtrail.model.users import JWT_FILTER, USER_HEADERS


class Told(Flag):
    """What a record with an attribute is of."""

    REQUEST = auto()
    CONNECTION = auto()
    BOTH = REQUEST | CONNECTION


class Attribute(NamedTuple):
    """One attribute of a log record.

    Attributes:
        key: its key.
        operator: Envoy's format operator, without its percent signs.
        told: what records it is of; it is not read of others.
        fills: the event columns that come from it, alone or with others.
    """

    key: str
    operator: str
    told: Told
    fills: tuple[str, ...] = ()


ABSENT: Final = "-"
"""What Envoy writes where it has no value. A header that is just this cannot be told from none."""

ACCESS_LOG_TYPE: Final = "envoy.access_log_type"
"""Stands in each record, and only in records, of Envoy's access log that follow this table."""

TIME: Final = ("time", "START_TIME(%Y-%m-%dT%H:%M:%S.%9fZ)")
TRACE_ID: Final = ("trace_id", "TRACE_ID")
SPAN_ID: Final = ("span_id", "SPAN_ID")
BESIDE: Final = dict([TIME, TRACE_ID, SPAN_ID])
"""What an OTLP log record has fields for, key to operator: written beside the attributes where
they are written as JSON."""

REQUEST_TYPES: Final = ("Downstream", "Upstream")
"""How the access log types of requests begin; those of connections are ``Tcp…`` and ``NotSet``."""

RBAC_HTTP: Final = "envoy.rbac.http"
RBAC_NETWORK: Final = "envoy.rbac.network"
JWT_AUTHN: Final = "envoy.jwt_authn"
_REQUEST_HEADER: Final = "http.request.header."
_ENDS: Final = ("spiffe_id", "spiffe_id_trust", "trust_domain", "namespace", "service_account")
_SRC: Final = ("side", *(f"src_{name}" for name in _ENDS))
_DST: Final = tuple(f"dst_{name}" for name in _ENDS)
_TRACE: Final = ("trace_id", "trace_id_trust", "span_id")
_REQUEST_ID: Final = ("request_id", "request_id_trust", "request_id_text")
_DENIED: Final = (
    "decision",
    "decision_trust",
    "policy_name",
    "policy_namespace",
    "policy_rule",
    "decision_reason",
)
_NAMED: Final = ("user_id", "user_id_trust")
_DECISION: Final = (*_DENIED, "dry_run_decision", "dry_run_policy")

_OF_BOTH: Final = (
    (ACCESS_LOG_TYPE, "ACCESS_LOG_TYPE", ("kind", "envoy_access_log_type")),
    # In nanoseconds, which no other operator gives of the whole: DURATION is in milliseconds, and
    # COMMON_DURATION ends with the last byte.
    ("envoy.duration", "CEL(request.duration)", ("duration", "end_time")),
    (
        "envoy.request_duration",
        "COMMON_DURATION(DS_RX_BEG:DS_RX_END:ns)",
        ("request_duration",),
    ),
    (
        "envoy.response_start_duration",
        "COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ns)",
        ("response_start_duration",),
    ),
    ("envoy.response_flags", "RESPONSE_FLAGS", ("envoy_response_flags",)),
    (
        "envoy.connection_termination_details",
        "CONNECTION_TERMINATION_DETAILS",
        ("envoy_connection_termination_details", *_DENIED),
    ),
    # RAW: without it Envoy gives the name that the cluster has in statistics.
    ("envoy.upstream_cluster", "UPSTREAM_CLUSTER_RAW", ("envoy_upstream_cluster", "side")),
    ("envoy.route_name", "ROUTE_NAME", ("envoy_route_name",)),
    # CEL gives the reasons as they are; the operators of these names write _ for each blank.
    (
        "envoy.upstream_transport_failure",
        "CEL(upstream.transport_failure_reason)",
        ("envoy_upstream_transport_failure", "tls_failure"),
    ),
    (
        "envoy.downstream_transport_failure",
        "CEL(connection.transport_failure_reason)",
        ("envoy_downstream_transport_failure", "tls_failure", "kind"),
    ),
    ("envoy.attempt_count", "UPSTREAM_REQUEST_ATTEMPT_COUNT", ("envoy_attempt_count",)),
    ("network.peer.address", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", ("src_ip",)),
    ("network.peer.port", "DOWNSTREAM_DIRECT_REMOTE_PORT", ("src_port",)),
    ("network.local.address", "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", ("dst_ip",)),
    ("network.local.port", "DOWNSTREAM_LOCAL_PORT", ("dst_port",)),
    # The endpoint that was chosen, also where no connection came about: UPSTREAM_REMOTE_ADDRESS is
    # that of a connection.
    ("envoy.upstream_host", "UPSTREAM_HOST", ("dst_ip", "dst_port")),
    (
        "envoy.upstream_local_address",
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        ("envoy_upstream_local_ip",),
    ),
    ("envoy.upstream_local_port", "UPSTREAM_LOCAL_PORT", ("envoy_upstream_local_port",)),
    ("envoy.tls_version", "DOWNSTREAM_TLS_VERSION", ("tls_protocol_version", "side")),
    ("envoy.tls_cipher", "DOWNSTREAM_TLS_CIPHER", ("tls_cipher",)),
    ("envoy.tls_server_name", "REQUESTED_SERVER_NAME", ("tls_server_name",)),
    ("envoy.tls_ja3", "TLS_JA3_FINGERPRINT", ("tls_client_ja3",)),
    ("envoy.peer_uri_san", "DOWNSTREAM_PEER_URI_SAN", _SRC),
    ("envoy.local_uri_san", "DOWNSTREAM_LOCAL_URI_SAN", _DST),
    ("envoy.peer_subject", "DOWNSTREAM_PEER_SUBJECT", ("tls_client_subject",)),
    ("envoy.peer_issuer", "DOWNSTREAM_PEER_ISSUER", ("tls_client_issuer",)),
    (
        "envoy.peer_certificate_sha256",
        "DOWNSTREAM_PEER_FINGERPRINT_256",
        ("tls_client_hash_sha256",),
    ),
    ("envoy.upstream_peer_uri_san", "UPSTREAM_PEER_URI_SAN", _DST),
    ("envoy.connection_id", "CONNECTION_ID", ("envoy_connection_id",)),
    ("envoy.bytes_received", "BYTES_RECEIVED", ("http_request_body_size", "bytes_received")),
    ("envoy.bytes_sent", "BYTES_SENT", ("http_response_body_size", "bytes_sent")),
)
_OF_REQUESTS: Final = (
    ("http.request.method", "REQ(:METHOD)", ("http_request_method",)),
    ("url.scheme", "REQ(:SCHEME)", ("url_scheme",)),
    # With its query, and so not url.path.
    ("envoy.request_path", "REQ(:PATH)", ("url_path", "url_query", "rpc_method")),
    ("server.address", "REQ(:AUTHORITY)", ("server_address",)),
    ("user_agent.original", "REQ(USER-AGENT)", ("user_agent_original",)),
    (
        f"{_REQUEST_HEADER}x-forwarded-for",
        "REQ(X-FORWARDED-FOR)",
        ("http_request_forwarded_for",),
    ),
    (
        f"{_REQUEST_HEADER}content-type",
        "REQ(CONTENT-TYPE)",
        ("http_request_content_type", "rpc_method"),
    ),
    (f"{_REQUEST_HEADER}x-request-id", "REQ(X-REQUEST-ID)", _REQUEST_ID),
    ("envoy.stream_id", "STREAM_ID", _REQUEST_ID),
    (f"{_REQUEST_HEADER}traceparent", "REQ(TRACEPARENT)", _TRACE),
    (f"{_REQUEST_HEADER}b3", "REQ(B3)", _TRACE),
    (f"{_REQUEST_HEADER}x-b3-traceid", "REQ(X-B3-TRACEID)", _TRACE),
    (f"{_REQUEST_HEADER}x-b3-spanid", "REQ(X-B3-SPANID)", _TRACE),
    # HTTP/1.1, where network.protocol.version would be 1.1.
    ("envoy.protocol", "PROTOCOL", ("network_protocol_version",)),
    ("http.response.status_code", "RESPONSE_CODE", ("http_response_status_code",)),
    ("http.response.header.content-type", "RESP(CONTENT-TYPE)", ("http_response_content_type",)),
    ("http.response.header.grpc-status", "RESP(GRPC-STATUS)", ("rpc_grpc_status_code",)),
    ("envoy.response_trailer.grpc-status", "TRAILER(GRPC-STATUS)", ("rpc_grpc_status_code",)),
    (
        "envoy.response_code_details",
        "RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)",
        ("envoy_response_code_details", *_DENIED),
    ),
    ("envoy.wire_bytes_received", "DOWNSTREAM_WIRE_BYTES_RECEIVED", ("bytes_received",)),
    ("envoy.wire_bytes_sent", "DOWNSTREAM_WIRE_BYTES_SENT", ("bytes_sent",)),
    (RBAC_HTTP, "DYNAMIC_METADATA(envoy.filters.http.rbac)", _DECISION),
    (JWT_AUTHN, f"DYNAMIC_METADATA({JWT_FILTER})", (*_NAMED, "user_issuer")),
    *((f"{_REQUEST_HEADER}{name}", f"REQ({name.upper()})", _NAMED) for name in USER_HEADERS),
)
_OF_CONNECTIONS: Final = (
    (RBAC_NETWORK, "DYNAMIC_METADATA(envoy.filters.network.rbac)", _DECISION),
)

ATTRIBUTES: Final[tuple[Attribute, ...]] = tuple(
    Attribute(key, operator, told, fills)
    for told, attributes in (
        (Told.BOTH, _OF_BOTH),
        (Told.REQUEST, _OF_REQUESTS),
        (Told.CONNECTION, _OF_CONNECTIONS),
    )
    for key, operator, fills in attributes
)
"""All attributes; each key once."""

WHO_REPORTS: Final = {
    "k8s.pod.name": "ENVIRONMENT(POD_NAME)",
    "k8s.namespace.name": "ENVIRONMENT(POD_NAMESPACE)",
    "envoy.service_account": "ENVIRONMENT(SERVICE_ACCOUNT)",
}
"""Attributes by which a proxy says who it is where its resource does not (Istio): key to operator.

They fill nothing: the reporter columns say what the stream said, and a record could say anything.
"""
