"""Envoy configurations: the parts that the demo uses too, and those that only a rig needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.demo import envoy_config
from meshtrail.demo.envoy_config import (
    BUFFER_BYTES,
    COLLECTOR_CLUSTER,
    LOOPBACK,
    Config,
    address,
    bootstrap,
    cluster,
    downstream_mtls,
    http_access_log,
    http_filter,
    listener,
    node,
    policy,
    route,
    tcp_access_log,
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
