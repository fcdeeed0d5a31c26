"""What a proxy is told to log, and in what portions it sends it: the same for every kind of proxy.

Source: envoy.extensions.access_loggers.grpc.v3; docs/formats/event.md for what is read of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshtrail.model.users import USER_HEADERS
from meshtrail.wiring.values import check_log_name, quote

REQUEST_HEADERS: Final = (
    "traceparent",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "content-type",
    *USER_HEADERS,
)
RESPONSE_HEADERS: Final = ("content-type", "grpc-status")
RESPONSE_TRAILERS: Final = ("grpc-status",)
"""The headers that events are made of, and no other: what is logged is kept for good."""

BUFFER_BYTES: Final = 1 << 20
FLUSH_INTERVAL: Final = "0.25s"
PERIOD: Final = "60s"

PORTIONS: Final = """\
# Each log is sent every quarter of a second, as often as meshtrail seals, or when its buffer is
# full. What would exceed the buffer while the collector takes nothing is dropped, and counted in
# access_logs.grpc_access_log.logs_dropped. So it is 1 MiB (1,400 records) for each worker and log:
# Envoy's own 16 KiB (21 records) do not last until the first TLS handshake is done.
"""
"""Why the two numbers are what they are, as a comment."""

TAGS: Final = """
      # What no field of a record tells; Envoy 1.37 or newer.
      custom_tags:
      - {tag: connection_id, value: "%CONNECTION_ID%"}
      - {tag: peer_certificate_sha256, value: "%DOWNSTREAM_PEER_FINGERPRINT_256%"}
      - {tag: upstream_peer_uri_san, value: "%UPSTREAM_PEER_URI_SAN%"}"""
"""What events take from custom tags (``meshtrail.sources.custom_tags``), for ``common_config``."""

_GRPC: Final = "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3"


@dataclass(frozen=True, slots=True)
class LogNames:
    """The names under which a proxy's three access logs arrive, as ``reporter_log_name``."""

    http: str
    tcp: str
    listener: str


def make_log_names(prefix: str | None) -> LogNames:
    """Names that begin with ``prefix``; without one, those that Istio gives.

    Raises:
        ConfigError: the prefix cannot stand in a name.
    """
    if prefix is None:
        return LogNames("http_envoy_accesslog", "tcp_envoy_accesslog", "listener_envoy_accesslog")
    check_log_name(prefix, option="--log-name")
    return LogNames(f"{prefix}_http", f"{prefix}_tcp", f"{prefix}_listener")


def format_http_log(log_name: str, *, cluster: str, tags: str = "") -> str:
    """An item of a connection manager's ``access_log``: one record for each request.

    Args:
        log_name: what they arrive as.
        cluster: where to.
        tags: ``TAGS``, for a proxy that is known to take them.
    """
    return f"""\
- name: envoy.access_loggers.http_grpc
  typed_config:
    "@type": {_GRPC}.HttpGrpcAccessLogConfig
{format_target(log_name, cluster=cluster, tags=tags)}
    # Trace ids, users, content types and gRPC statuses are read from these headers. What is
    # logged is kept for good: never add authorization, cookie or anything else that is a secret.
    additional_request_headers_to_log: {_flow(REQUEST_HEADERS)}
    additional_response_headers_to_log: {_flow(RESPONSE_HEADERS)}
    # A gRPC status comes in the trailers, or in the headers of an answer without a body.
    additional_response_trailers_to_log: {_flow(RESPONSE_TRAILERS)}"""


def format_tcp_log(log_name: str, *, cluster: str, filtered: str = "", tags: str = "") -> str:
    """An item of the ``access_log`` of a listener or ``tcp_proxy``: records of connections.

    Args:
        log_name: what they arrive as.
        cluster: where to.
        filtered: lines of the item that choose among the records, indented by two.
        tags: as for ``format_http_log``.
    """
    return f"""\
- name: envoy.access_loggers.tcp_grpc
{filtered}  typed_config:
    "@type": {_GRPC}.TcpGrpcAccessLogConfig
{format_target(log_name, cluster=cluster, tags=tags)}"""


def format_target(log_name: str, *, cluster: str, tags: str = "") -> str:
    """``common_config``: where to, under which name, in what portions; indented by four."""
    return f"""\
    common_config:
      log_name: {quote(log_name)}
      transport_api_version: V3
      grpc_service: {{envoy_grpc: {{cluster_name: {quote(cluster)}}}}}
      buffer_flush_interval: {FLUSH_INTERVAL}
      buffer_size_bytes: {BUFFER_BYTES}{tags}"""


def format_headers(indent: str) -> str:
    """The three lists of headers, as MeshConfig spells them."""
    return (
        f"{indent}additionalRequestHeadersToLog: {_flow(REQUEST_HEADERS)}\n"
        f"{indent}additionalResponseHeadersToLog: {_flow(RESPONSE_HEADERS)}\n"
        f"{indent}additionalResponseTrailersToLog: {_flow(RESPONSE_TRAILERS)}"
    )


def _flow(names: tuple[str, ...]) -> str:
    return f"[{', '.join(names)}]"
