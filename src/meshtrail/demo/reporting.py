"""What a sidecar is told to report, as ``meshtrail emit-config envoy`` prints it, as dicts.

Access logs by Envoy's access log service or by its OpenTelemetry access logger, spans, counters.
All go to meshtrail through one cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from meshtrail.demo.envoy_config import COLLECTOR_CLUSTER, typed
from meshtrail.model.otlp_attributes import ATTRIBUTES, Told
from meshtrail.sources.custom_tags import CLIENT_HASH, CONNECTION_ID, UPSTREAM_NAMES
from meshtrail.wiring.access_logs import (
    BUFFER_BYTES,
    FLUSH_INTERVAL,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    RESPONSE_TRAILERS,
)
from meshtrail.wiring.otlp_logs import SERVICE
from meshtrail.wiring.tracing import PATH_CHARS_MAX, TIMEOUT

if TYPE_CHECKING:
    from meshtrail.demo.envoy_config import Config

HTTP_LOG: Final = "http_envoy_accesslog"
LISTENER_LOG: Final = "listener_envoy_accesslog"
PUSH_INTERVAL: Final = "2s"
"""How often counters are sent. A mesh that lasts sends them every ten seconds."""
SPANS_EVERY_MS: Final = 500
"""Envoy would keep spans for up to 5 s."""

_TAGS: Final = {
    CONNECTION_ID: "%CONNECTION_ID%",
    CLIENT_HASH: "%DOWNSTREAM_PEER_FINGERPRINT_256%",
    UPSTREAM_NAMES: "%UPSTREAM_PEER_URI_SAN%",
}
_CONFIG: Final = "type.googleapis.com/envoy.config"


class AccessLogger(Protocol):
    """A way to send access logs."""

    def http(self) -> Config:
        """Records of requests."""
        ...

    def connections(self) -> Config:
        """Records of connections; on a listener, failed handshakes are among them."""
        ...


class AccessLogService:
    """Envoy's access log service."""

    def http(self) -> Config:
        """Records of requests."""
        return typed(
            "envoy.access_loggers.http_grpc",
            "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
            common_config=_target(HTTP_LOG),
            additional_request_headers_to_log=list(REQUEST_HEADERS),
            additional_response_headers_to_log=list(RESPONSE_HEADERS),
            additional_response_trailers_to_log=list(RESPONSE_TRAILERS),
        )

    def connections(self) -> Config:
        """Records of connections; on a listener, failed handshakes are among them."""
        return typed(
            "envoy.access_loggers.tcp_grpc",
            "access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
            common_config=_target(LISTENER_LOG),
        )


class OtlpAccessLogger:
    """Envoy's OpenTelemetry access logger: the same facts, as attributes of log records."""

    def http(self) -> Config:
        """Records of requests."""
        return _otlp_log(HTTP_LOG, Told.REQUEST)

    def connections(self) -> Config:
        """Records of connections; on a listener, failed handshakes are among them."""
        return _otlp_log(LISTENER_LOG, Told.CONNECTION)


def tracing(service_name: str) -> Config:
    """What a connection manager needs to send a span of each request.

    Args:
        service_name: what the spans call the service.
    """
    provider = {
        "@type": f"{_CONFIG}.trace.v3.OpenTelemetryConfig",
        "grpc_service": {**_grpc_service(), "timeout": TIMEOUT},
        "service_name": service_name,
    }
    return {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider},
        "random_sampling": {"value": 100},
        "max_path_tag_length": PATH_CHARS_MAX,
    }


def process_wide() -> Config:
    """What a bootstrap needs to send counters, and spans as soon as a short demo wants them."""
    sink = {
        "@type": f"{_CONFIG}.metrics.v3.MetricsServiceConfig",
        "transport_api_version": "V3",
        "grpc_service": _grpc_service(),
    }
    spans = {"tracing.opentelemetry.flush_interval_ms": SPANS_EVERY_MS}
    return {
        "stats_sinks": [{"name": "envoy.stat_sinks.metrics_service", "typed_config": sink}],
        "stats_flush_interval": PUSH_INTERVAL,
        "layered_runtime": {"layers": [{"name": "demo", "static_layer": spans}]},
    }


def _target(log_name: str) -> Config:
    return {
        "log_name": log_name,
        "transport_api_version": "V3",
        "grpc_service": _grpc_service(),
        "buffer_flush_interval": FLUSH_INTERVAL,
        "buffer_size_bytes": BUFFER_BYTES,
        "custom_tags": [{"tag": tag, "value": value} for tag, value in _TAGS.items()],
    }


def _otlp_log(log_name: str, told: Told) -> Config:
    return typed(
        "envoy.access_loggers.open_telemetry",
        "access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        log_name=log_name,
        grpc_service=_grpc_service(),
        buffer_flush_interval=FLUSH_INTERVAL,
        buffer_size_bytes=BUFFER_BYTES,
        disable_builtin_labels=False,
        resource_attributes=_values({"service.name": SERVICE}),
        attributes=_values(
            {one.key: f"%{one.operator}%" for one in ATTRIBUTES if told in one.told}
        ),
    )


def _values(texts: dict[str, str]) -> Config:
    values: list[Any] = [{"key": key, "value": {"string_value": it}} for key, it in texts.items()]
    return {"values": values}


def _grpc_service() -> Config:
    return {"envoy_grpc": {"cluster_name": COLLECTOR_CLUSTER}}
