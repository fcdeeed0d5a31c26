"""Envoy configurations: the parts that the demo uses too, and those that only a rig needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.demo import envoy_config
from meshtrail.demo.envoy_config import (
    BUFFER_BYTES,
    COLLECTOR_CLUSTER,
    FLUSH_INTERVAL,
    LOOPBACK,
    Config,
    address,
    bootstrap,
    cluster,
    downstream_mtls,
    http_filter,
    listener,
    node,
    policy,
    route,
    typed,
    upstream_mtls,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BUFFER_BYTES",
    "COLLECTOR_CLUSTER",
    "LOOPBACK",
    "Config",
    "address",
    "bootstrap",
    "cluster",
    "direct_response",
    "downstream_mtls",
    "http_access_log",
    "http_filter",
    "http_rbac",
    "listener",
    "network_rbac",
    "node",
    "policy",
    "route",
    "tcp_access_log",
    "tcp_filter",
    "typed",
    "upstream_mtls",
    "whole_requests",
]


REQUEST_HEADERS_LOGGED = (
    "traceparent",
    "x-b3-traceid",
    "x-b3-spanid",
    "b3",
    "content-type",
)
RESPONSE_HEADERS_LOGGED = ("content-type", "grpc-status")


def http_access_log(log_name: str, *, buffer_bytes: int = BUFFER_BYTES) -> Config:
    """HTTP records to the collector, in batches of Envoy's default size."""
    return typed(
        "envoy.access_loggers.http_grpc",
        "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config=_access_log_target(log_name, buffer_bytes),
        additional_request_headers_to_log=list(REQUEST_HEADERS_LOGGED),
        additional_response_headers_to_log=list(RESPONSE_HEADERS_LOGGED),
        additional_response_trailers_to_log=["grpc-status"],
    )


def tcp_access_log(log_name: str, *, buffer_bytes: int = BUFFER_BYTES) -> Config:
    """Connection records to the collector; on a listener, failed handshakes are among them."""
    return typed(
        "envoy.access_loggers.tcp_grpc",
        "access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
        common_config=_access_log_target(log_name, buffer_bytes),
    )


def _access_log_target(log_name: str, buffer_bytes: int) -> Config:
    return {
        "log_name": log_name,
        "transport_api_version": "V3",
        "buffer_flush_interval": FLUSH_INTERVAL,
        "buffer_size_bytes": buffer_bytes,
        "grpc_service": {"envoy_grpc": {"cluster_name": COLLECTOR_CLUSTER}},
    }


def tcp_filter(stat_prefix: str, *, cluster: str, access_log: Config) -> Config:
    """The TCP proxy to one cluster."""
    return typed(
        "envoy.filters.network.tcp_proxy",
        "filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=stat_prefix,
        cluster=cluster,
        access_log=[access_log],
    )


def http_rbac(
    action: str,
    policies: Mapping[str, Config],
    *,
    shadow_action: str = "ALLOW",
    shadow_policies: Mapping[str, Config] | None = None,
    shadow_prefix: str = "",
) -> Config:
    """The HTTP RBAC filter: what it enforces, and what it would have enforced (dry run)."""
    if shadow_policies is None:
        return envoy_config.http_rbac(action, policies)
    return envoy_config.http_rbac(
        action,
        policies,
        shadow_rules={"action": shadow_action, "policies": dict(shadow_policies)},
        shadow_rules_stat_prefix=shadow_prefix,
    )


def whole_requests() -> Config:
    """A filter, to stand first: waits for the whole request before anything answers it.

    Envoy closes an HTTP/1.1 connection when it answers by itself while the body is still coming,
    and the next request would pay for a handshake.
    """
    return typed(
        "envoy.filters.http.buffer", "filters.http.buffer.v3.Buffer", max_request_bytes=1 << 20
    )


def network_rbac(stat_prefix: str, policies: Mapping[str, Config]) -> Config:
    """The network RBAC filter, allowing what the policies name."""
    return typed(
        "envoy.filters.network.rbac",
        "filters.network.rbac.v3.RBAC",
        stat_prefix=stat_prefix,
        rules={"action": "ALLOW", "policies": dict(policies)},
    )


def direct_response(path_prefix: str, status: int, *, route_name: str = "") -> Config:
    """A route that Envoy answers by itself."""
    body = {} if status == 204 else {"body": {"inline_string": f"{status}\n"}}
    return {
        "name": route_name or f"answer-{status}",
        "match": {"prefix": path_prefix},
        "direct_response": {"status": status, **body},
    }
