"""Envoy configurations as Python dicts: the parts that a mesh is put together from.

Names of policies, access logs and nodes are written as Istio writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.rig.certs import Authority, Identity

Config = dict[str, Any]

LOOPBACK = "127.0.0.1"
COLLECTOR_CLUSTER = "collector"
FLUSH_INTERVAL = "0.2s"
BUFFER_BYTES = 16_384
"""Envoy's default: a message is sent at this size, and what exceeds it while the stream cannot take
it is dropped."""
REQUEST_HEADERS_LOGGED = ("traceparent", "x-b3-traceid", "x-b3-spanid", "b3", "content-type")
RESPONSE_HEADERS_LOGGED = ("content-type", "grpc-status")
_EXTENSIONS = "type.googleapis.com/envoy.extensions"


def typed(name: str, type_name: str, **fields: Any) -> Config:
    """An extension: its name, and its configuration of the named type."""
    return {"name": name, "typed_config": {"@type": f"{_EXTENSIONS}.{type_name}", **fields}}


def bootstrap(*, node: Config, listeners: Sequence[Config], clusters: Sequence[Config]) -> Config:
    """A whole static configuration; the admin endpoint takes a free port."""
    return {
        "node": node,
        "admin": {"address": address(0)},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
    }


def node(*, workload: str, namespace: str, ip: str) -> Config:
    """The node block of an Istio sidecar: what the proxy claims to be."""
    pod = f"{workload}-7d9c5bf6b4-x2vkq"
    return {
        "id": f"sidecar~{ip}~{pod}.{namespace}~{namespace}.svc.cluster.local",
        "cluster": f"{workload}.{namespace}",
        "metadata": {
            "NAMESPACE": namespace,
            "NAME": pod,
            "WORKLOAD_NAME": workload,
            "SERVICE_ACCOUNT": workload,
            "CLUSTER_ID": "Kubernetes",
            "MESH_ID": "cluster.local",
            "ISTIO_VERSION": "1.29.0",
            "LABELS": {"app": workload, "version": "v2"},
        },
    }


def address(port: int) -> Config:
    """A socket on loopback; port 0 takes a free one."""
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def listener(
    name: str,
    filters: Sequence[Config],
    *,
    access_log: Config | None = None,
    transport_socket: Config | None = None,
) -> Config:
    """A listener on a free port with one filter chain."""
    chain: Config = {"filters": list(filters)}
    if transport_socket is not None:
        chain["transport_socket"] = transport_socket
    config: Config = {
        "name": name,
        "stat_prefix": name,
        "address": address(0),
        "filter_chains": [chain],
    }
    if access_log is not None:
        config["access_log"] = [access_log]
    return config


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


def http_filter(
    stat_prefix: str,
    *,
    access_log: Config,
    routes: Sequence[Config],
    http_filters: Sequence[Config] = (),
) -> Config:
    """The HTTP connection manager with one virtual host; the router comes last."""
    router = typed("envoy.filters.http.router", "filters.http.router.v3.Router")
    return typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=stat_prefix,
        generate_request_id=True,
        access_log=[access_log],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}]},
        http_filters=[*http_filters, router],
    )


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
    fields: Config = {"rules": {"action": action, "policies": dict(policies)}}
    if shadow_policies is not None:
        fields["shadow_rules"] = {"action": shadow_action, "policies": dict(shadow_policies)}
        fields["shadow_rules_stat_prefix"] = shadow_prefix
    return typed("envoy.filters.http.rbac", "filters.http.rbac.v3.RBAC", **fields)


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


def policy(*, spiffe_ids: Sequence[str] = (), path_prefix: str = "", method: str = "") -> Config:
    """A policy for these principals (none: anyone), below the path and with the method if given."""
    permissions: list[Config] = []
    if path_prefix:
        permissions.append({"url_path": {"path": {"prefix": path_prefix}}})
    if method:
        permissions.append({"header": {"name": ":method", "string_match": {"exact": method}}})
    permission = {"and_rules": {"rules": permissions}} if permissions else {"any": True}
    principals: list[Config] = [
        {"authenticated": {"principal_name": {"exact": spiffe_id}}} for spiffe_id in spiffe_ids
    ]
    return {"permissions": [permission], "principals": principals or [{"any": True}]}


def direct_response(path_prefix: str, status: int, *, route_name: str = "") -> Config:
    """A route that Envoy answers by itself."""
    body = {} if status == 204 else {"body": {"inline_string": f"{status}\n"}}
    return {
        "name": route_name or f"answer-{status}",
        "match": {"prefix": path_prefix},
        "direct_response": {"status": status, **body},
    }


def cluster(
    name: str, port: int, *, transport_socket: Config | None = None, is_http2: bool = False
) -> Config:
    """One static endpoint on loopback."""
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address(port)}}]}
    config: Config = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [endpoint]},
    }
    if transport_socket is not None:
        config["transport_socket"] = transport_socket
    if is_http2:
        options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        config["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return config


def downstream_mtls(authority: Authority, identity: Identity) -> Config:
    """TLS that shows ``identity`` and takes only clients that the authority vouches for."""
    return typed(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=True,
        common_tls_context=_tls_context(authority, identity),
    )


def upstream_mtls(
    authority: Authority, identity: Identity, *, peer: str = "", sni: str = "", alpn: str = ""
) -> Config:
    """TLS that shows ``identity`` and, if ``peer`` is given, insists on that SPIFFE ID."""
    context = _tls_context(authority, identity, peer=peer)
    if alpn:
        context["alpn_protocols"] = [alpn]
    fields: Config = {"common_tls_context": context}
    if sni:
        fields["sni"] = sni
    return typed(
        "envoy.transport_sockets.tls", "transport_sockets.tls.v3.UpstreamTlsContext", **fields
    )


def _tls_context(authority: Authority, identity: Identity, *, peer: str = "") -> Config:
    validation: Config = {"trusted_ca": {"filename": str(authority.bundle)}}
    if peer:
        validation["match_typed_subject_alt_names"] = [
            {"san_type": "URI", "matcher": {"exact": peer}}
        ]
    chain = {"filename": str(identity.chain)}
    key = {"filename": str(identity.key)}
    return {
        # Envoy's clients stop at TLS 1.2 unless told; the sidecars of a mesh speak 1.3.
        "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": chain, "private_key": key}],
        "validation_context": validation,
    }
