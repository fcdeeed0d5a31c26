"""The columns of the event schema: one table, from which all that depends on them is made.

A field id is permanent and never reused; a new column takes a new id in the range of its group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the event schema.

    Attributes:
        field_id: permanent Parquet field id.
        short: name in the query language where it differs, e.g. ``path`` for ``url_path``.
        unit: ``ns``, ``bytes`` or empty.
        bloom: whether segments carry a Bloom filter on it.
        about: one line for docs/formats/event.md.
    """

    field_id: int
    name: str
    type: pa.DataType
    about: str
    short: str = ""
    unit: str = ""
    bloom: bool = False
    nullable: bool = True


_S = pa.string()
_I32 = pa.int32()
_I64 = pa.int64()
_ID32 = pa.binary(32)
_ID16 = pa.binary(16)
_ID8 = pa.binary(8)
_WORKLOAD = {
    "workload": "deployment or other owner of its pod, as the record says",
    "service": "service it was called as, as the record says",
    "version": "version label of its pod, as the record says",
    "pod": "its pod, as the record says",
    "node": "node of its pod, as the record says",
    "cluster": "cluster of its pod, as the record says",
}
"""What a record says itself; who had an address then is joined on reading (docs/inventory.md)."""
_TRUST = "how the field before it is known: attested, reported, derived, asserted"


def _end(first_id: int, end: str, short: str, whose: str) -> tuple[Column, ...]:
    """The columns of one end."""
    return (
        Column(
            first_id,
            f"{end}_spiffe_id",
            _S,
            f"SPIFFE ID of the {whose}",
            short=f"{short}.spiffe",
            bloom=True,
        ),
        Column(first_id + 1, f"{end}_spiffe_id_trust", _S, _TRUST),
        Column(
            first_id + 2, f"{end}_trust_domain", _S, "trust domain of it", short=f"{short}.domain"
        ),
        Column(
            first_id + 3, f"{end}_namespace", _S, "`ns` segment of it", short=f"{short}.namespace"
        ),
        Column(
            first_id + 4, f"{end}_service_account", _S, "`sa` segment of it", short=f"{short}.sa"
        ),
        Column(first_id + 5, f"{end}_ip", _S, f"address of the {whose}", short=f"{short}.ip"),
        Column(first_id + 6, f"{end}_port", _I32, f"port of the {whose}", short=f"{short}.port"),
        *(
            Column(first_id + 7 + place, f"{end}_{name}", _S, about, short=f"{short}.{name}")
            for place, (name, about) in enumerate(_WORKLOAD.items())
        ),
        Column(
            first_id + 13,
            f"{end}_workload_trust",
            _S,
            "how workload, service, version, pod, node and cluster are known",
        ),
    )


COLUMNS: Final[tuple[Column, ...]] = (
    Column(1, "log", _S, "origin of the log", nullable=False),
    Column(2, "log_index", _I64, "leaf index, hence its proof", short="index", nullable=False),
    Column(3, "kind", _S, "what it is about", nullable=False),
    Column(4, "time", _I64, "start of the happening, on the reporter's clock", unit="ns"),
    Column(5, "end_time", _I64, "its end, on the reporter's clock", unit="ns"),
    Column(
        6,
        "received_time",
        _I64,
        "arrival, on the collector's clock; never decreases",
        short="received",
        unit="ns",
        nullable=False,
    ),
    Column(7, "source", _S, "kind of telemetry, or `meshtrail`", nullable=False),
    Column(8, "stream", _I64, "the sender's stream", bloom=True, nullable=False),
    Column(9, "seq", _I64, "position within the stream", nullable=False),
    Column(10, "payload_format", _S, "how the payload is written", nullable=False),
    Column(11, "side", _S, "source or destination, as far as the record tells"),
    Column(12, "mapper_version", _I32, "version of the derivation", nullable=False),
    Column(13, "decode_error", _S, "why a value, or the whole record, could not be read"),
    Column(
        14,
        "is_duplicate",
        pa.bool_(),
        "whether the collector had taken the same export before: a retry",
        short="duplicate",
        nullable=False,
    ),
    Column(
        15,
        "time_offset",
        _I64,
        "the reporter's clock minus the collector's, as stated in the log",
        short="offset",
        unit="ns",
    ),
    Column(16, "time_error", _I64, "at most so far is `time` minus it off", unit="ns"),
    Column(17, "time_quality", _S, "how they are known; null where `time` is"),
    Column(20, "reporter_id", _S, "node id that the reporter claims", short="reporter"),
    Column(21, "reporter_cluster", _S, "cluster that the reporter claims"),
    Column(
        22,
        "reporter_spiffe_id",
        _S,
        "identity that the reporter's stream was authenticated as",
        short="reporter.spiffe",
        bloom=True,
    ),
    Column(23, "reporter_spiffe_id_trust", _S, _TRUST),
    Column(
        24,
        "reporter_auth",
        _S,
        "how its stream was authenticated: mtls, xfcc, token, signature or none",
    ),
    Column(25, "reporter_log_name", _S, "name of the access log, as claimed"),
    Column(26, "reporter_ip", _S, "address that its connection came from", short="reporter.ip"),
    Column(27, "reporter_token", _S, "name of the token that authenticated it"),
    Column(
        28,
        "reporter_conflict",
        _S,
        "what was claimed, against what was authenticated",
        short="conflict",
    ),
    *_end(30, "src", "src", "caller"),
    *_end(50, "dst", "dst", "callee"),
    Column(70, "http_request_method", _S, "request method", short="method"),
    Column(71, "url_scheme", _S, "http or https, as the request says", short="scheme"),
    Column(72, "url_path", _S, "path without its query", short="path"),
    Column(73, "url_query", _S, "query, without the question mark", short="query"),
    Column(74, "server_address", _S, "authority (host header)", short="host"),
    Column(75, "user_agent_original", _S, "user agent", short="agent"),
    Column(
        76,
        "http_response_status_code",
        _I32,
        "status; null where none was sent",
        short="status",
    ),
    Column(77, "http_request_body_size", _I64, "request body", unit="bytes"),
    Column(78, "http_response_body_size", _I64, "response body", unit="bytes"),
    Column(79, "network_protocol_version", _S, "HTTP version: 1.0, 1.1, 2, 3", short="protocol"),
    Column(80, "network_transport", _S, "tcp, udp, sctp, icmp, icmpv6", short="transport"),
    Column(81, "dns_question_name", _S, "name that was asked for", short="dns"),
    Column(83, "http_request_content_type", _S, "content type of the request, if it was logged"),
    Column(84, "http_response_content_type", _S, "content type of the response, if it was logged"),
    Column(85, "rpc_method", _S, "package.Service/Method of a gRPC call", short="rpc"),
    Column(86, "rpc_grpc_status_code", _I32, "gRPC status, if it was logged", short="grpc.status"),
    Column(
        87, "http_request_forwarded_for", _S, "x-forwarded-for, which anyone can set", short="xff"
    ),
    Column(100, "envoy_access_log_type", _S, "which moment of the stream was logged"),
    Column(101, "envoy_response_flags", _S, "Envoy's short codes, joined by commas", short="flags"),
    Column(102, "envoy_response_code_details", _S, "why this status", short="details"),
    Column(103, "envoy_connection_termination_details", _S, "why the connection ended"),
    Column(104, "envoy_upstream_cluster", _S, "upstream cluster", short="upstream"),
    Column(105, "envoy_route_name", _S, "route", short="route"),
    Column(106, "envoy_upstream_transport_failure", _S, "why TLS to the upstream failed"),
    Column(
        107,
        "envoy_downstream_transport_failure",
        _S,
        "why the caller's TLS handshake failed",
        short="tls.error",
    ),
    Column(108, "envoy_attempt_count", _I32, "upstream attempts"),
    Column(
        109,
        "envoy_connection_id",
        _I64,
        "the proxy's number of the caller's connection, its own while the proxy runs",
        short="connection",
    ),
    Column(110, "envoy_upstream_local_ip", _S, "address the proxy called its upstream from"),
    Column(111, "envoy_upstream_local_port", _I32, "port the proxy called its upstream from"),
    Column(130, "tls_protocol_version", _S, "downstream TLS version", short="tls.version"),
    Column(131, "tls_cipher", _S, "downstream cipher suite, IANA name", short="tls.cipher"),
    Column(132, "tls_server_name", _S, "SNI, which the caller chooses", short="sni"),
    Column(133, "tls_client_subject", _S, "subject of the caller's certificate"),
    Column(134, "tls_client_issuer", _S, "issuer of the caller's certificate"),
    Column(
        135,
        "tls_client_hash_sha256",
        _ID32,
        "SHA-256 of the caller's certificate",
        short="tls.hash",
    ),
    Column(136, "tls_client_ja3", _S, "JA3 fingerprint of the caller"),
    Column(137, "tls_failure", _S, "class of a failed TLS handshake", short="tls.failure"),
    Column(150, "decision", _S, "allowed, denied, error, unknown"),
    Column(151, "decision_trust", _S, _TRUST),
    Column(152, "policy_name", _S, "policy that decided", short="policy"),
    Column(153, "policy_namespace", _S, "its namespace", short="policy.namespace"),
    Column(154, "policy_rule", _S, "its rule, a position", short="policy.rule"),
    Column(155, "decision_reason", _S, "what the decision was read from", short="reason"),
    Column(156, "dry_run_decision", _S, "what a shadow policy would have said"),
    Column(157, "dry_run_policy", _S, "the shadow policy"),
    Column(158, "policy_kind", _S, "kind of the policy that decided", short="policy.kind"),
    Column(170, "trace_id", _ID16, "W3C or B3 trace id", short="trace", bloom=True),
    Column(171, "trace_id_trust", _S, _TRUST),
    Column(172, "span_id", _ID8, "span id beside it", short="span"),
    Column(173, "request_id", _ID16, "x-request-id, a UUID", short="request", bloom=True),
    Column(174, "request_id_trust", _S, _TRUST),
    Column(175, "request_id_text", _S, "x-request-id that is not a UUID"),
    Column(176, "user_id", _S, "the user on whose behalf, from a token or header", short="user"),
    Column(177, "parent_span_id", _ID8, "span that a span is part of", short="parent"),
    Column(178, "span_name", _S, "name of a span", short="name"),
    Column(179, "span_kind", _S, "internal, server, client, producer or consumer"),
    Column(180, "span_status", _S, "ok or error, where the span says so"),
    Column(181, "user_id_trust", _S, _TRUST),
    Column(182, "user_issuer", _S, "who issued the token that names the user", short="user.issuer"),
    Column(190, "duration", _I64, "whole duration", unit="ns"),
    Column(191, "request_duration", _I64, "first to last byte of the request", unit="ns"),
    Column(
        192, "response_start_duration", _I64, "first byte in to first byte of the answer", unit="ns"
    ),
    Column(
        193, "bytes_received", _I64, "on the downstream wire, or of the connection", unit="bytes"
    ),
    Column(194, "bytes_sent", _I64, "on the downstream wire, or of the connection", unit="bytes"),
    Column(210, "about", _S, "whom a counter, gap or finding is about"),
    Column(211, "cause", _S, "why a gap or finding is there, of a closed list"),
    Column(212, "missing_min", _I64, "records that are missing, at least", short="missing.min"),
    Column(213, "missing_max", _I64, "records that are missing, at most", short="missing.max"),
    Column(214, "detail", _S, "what meshtrail or a counter says, as JSON"),
    Column(230, "actor", _S, "who did it: an operator, a service account, an author"),
    Column(231, "actor_trust", _S, _TRUST),
    Column(232, "actor_groups", _S, "the actor's groups, joined by commas"),
    Column(
        233, "actor_impersonated", _S, "the user that the actor took the place of", short="actor.as"
    ),
    Column(234, "actor_ip", _S, "address that the request came from", short="actor.ip"),
    Column(235, "actor_forwarded_for", _S, "further addresses, which the actor can set"),
    Column(
        250, "object_kind", _S, "resource that was acted on, plural and lower case", short="object"
    ),
    Column(251, "object_group", _S, "its API group", short="object.group"),
    Column(252, "object_namespace", _S, "its namespace", short="object.namespace"),
    Column(253, "object_name", _S, "its name", short="object.name"),
    Column(254, "object_uid", _S, "its UID", short="object.uid"),
    Column(255, "object_version", _S, "its resource version", short="object.version"),
    Column(256, "object_subresource", _S, "part of it that was acted on", short="subresource"),
    Column(257, "operation", _S, "verb: create, update, patch, delete, get, …", short="verb"),
    Column(258, "spec_hash", _ID32, "SHA-256 of its specification afterwards, as canonical JSON"),
    Column(
        259,
        "security_change",
        _S,
        "what the request alone says that it does to security",
        short="change",
    ),
    Column(260, "audit_level", _S, "how much the API server logged"),
    Column(261, "audit_stage", _S, "stage of the request that was logged", short="stage"),
    Column(262, "object_created_time", _I64, "when the object was made", unit="ns"),
    Column(263, "object_deleted_time", _I64, "when the object was gone", unit="ns"),
    Column(270, "pod_workload", _S, "deployment or other owner of the pod"),
    Column(271, "pod_service_account", _S, "service account of the pod"),
    Column(272, "pod_node", _S, "node of the pod"),
    Column(273, "pod_ips", _S, "addresses of the pod, joined by commas"),
    Column(274, "pod_phase", _S, "Pending, Running, Succeeded or Failed"),
    Column(275, "pod_version", _S, "version label of the pod"),
    Column(276, "pod_labels", _S, "labels of the pod, as JSON"),
    Column(277, "image", _S, "images of the containers, joined by commas"),
    Column(
        278,
        "image_digest",
        _S,
        "digests of what the containers run, joined by commas",
        short="digest",
    ),
    Column(300, "commit_id", _S, "commit, 40 or 64 hexadecimal digits", short="commit"),
    Column(301, "repository_url", _S, "repository of the commit", short="repository"),
    Column(302, "commit_ref", _S, "branch or tag", short="ref"),
)
