"""The sidecar whose requests are measured: mTLS in front, policies, the application behind it.

    load ──mTLS──► Envoy ──► application
                     └─mTLS─► meshtrail, or nobody

With and without the access log it is the same Envoy: ``without_access_logs`` takes the access logs
out of the finished configuration, so nothing else can differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.demo.authority import Authority, Identity
from meshtrail.wiring.access_logs import BUFFER_BYTES, FLUSH_INTERVAL
from tests.rig import configuration as envoy_config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.configuration import Config

LISTENER = "inbound"
TO_APPLICATION = "inbound|8080||"
_POLICY = "ns[shop]-policy[payments"


@dataclass(frozen=True, slots=True)
class Identities:
    """Who shows which SVID: the load, the sidecar and its application, the collector."""

    authority: Authority
    caller: Identity
    payments: Identity
    collector: Identity


def issue_identities(directory: Path) -> Identities:
    """Issue one SVID for each party."""
    authority = Authority(directory)
    return Identities(
        authority=authority,
        caller=authority.issue("ns/web/sa/frontend"),
        payments=authority.issue("ns/shop/sa/payments"),
        collector=authority.issue("ns/meshtrail/sa/collector", is_named_localhost=True),
    )


def sidecar_config(identities: Identities, *, application_port: int, collector_port: int) -> Config:
    """An inbound sidecar as Istio sets one up, which reports every request and connection."""
    http = envoy_config.http_filter(
        LISTENER,
        access_log=_as_emitted(envoy_config.http_access_log("http_envoy_accesslog")),
        routes=[{"match": {"prefix": "/"}, "route": {"cluster": TO_APPLICATION}}],
        http_filters=[
            envoy_config.http_rbac(
                "DENY",
                {f"{_POLICY}-no-admin]-rule[0]": envoy_config.policy(path_prefix="/admin")},
            ),
            envoy_config.http_rbac(
                "ALLOW",
                {
                    f"{_POLICY}-allow]-rule[0]": envoy_config.policy(
                        spiffe_ids=[identities.caller.spiffe_id]
                    )
                },
            ),
        ],
    )
    listener = envoy_config.listener(
        LISTENER,
        [http],
        access_log=_as_emitted(envoy_config.tcp_access_log("listener_envoy_accesslog")),
        transport_socket=envoy_config.downstream_mtls(identities.authority, identities.payments),
    )
    collector = envoy_config.cluster(
        envoy_config.COLLECTOR_CLUSTER,
        collector_port,
        transport_socket=envoy_config.upstream_mtls(
            identities.authority,
            identities.payments,
            peer=identities.collector.spiffe_id,
            alpn="h2",
        ),
        is_http2=True,
    )
    return envoy_config.bootstrap(
        node=envoy_config.node(workload="payments", namespace="shop", ip="10.0.0.7"),
        listeners=[listener],
        clusters=[envoy_config.cluster(TO_APPLICATION, application_port), collector],
    )


def _as_emitted(access_log: Config) -> Config:
    """Send in the portions that ``meshtrail emit-config`` tells an Envoy to send in."""
    target = access_log["typed_config"]["common_config"]
    target["buffer_size_bytes"] = BUFFER_BYTES
    target["buffer_flush_interval"] = FLUSH_INTERVAL
    return access_log


def without_access_logs(config: Config) -> Config:
    """The same configuration with every ``access_log`` left out, at whatever depth."""
    return {name: _strip(value) for name, value in config.items() if name != "access_log"}


def _strip(value: object) -> object:
    if isinstance(value, dict):
        return without_access_logs(value)
    return [_strip(item) for item in value] if isinstance(value, list) else value
