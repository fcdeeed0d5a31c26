"""Envoy configurations as Python dicts: the parts that a sidecar is put together from.

Names of policies, access logs and nodes are written as Istio writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshtrail.demo.authority import Authority, Identity

Config = dict[str, Any]

LOOPBACK: Final = "127.0.0.1"
COLLECTOR_CLUSTER: Final = "meshtrail"
"""Counters of a cluster are kept if its name has this in it."""
FLUSH_INTERVAL: Final = "0.2s"
BUFFER_BYTES: Final = 16_384
"""Envoy's default: a message is sent at this size, and what exceeds it while the stream cannot take
it is dropped."""
_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"


def typed(name: str, type_name: str, **fields: Any) -> Config:
    """An extension: its name, and its configuration of the named type."""
    return {"name": name, "typed_config": {"@type": f"{_EXTENSIONS}.{type_name}", **fields}}


def bootstrap(
    *,
    node: Config,
    listeners: Sequence[Config],
    clusters: Sequence[Config],
    admin: Config | None = None,
    **fields: Any,
) -> Config:
    """A whole configuration.

    Args:
        node: what the proxy claims to be.
        listeners: its doors.
        clusters: what is behind them.
        admin: address of the admin endpoint; a free port of 127.0.0.1 if None.
        fields: more of it, as Envoy names it.
    """
    return {
        "node": node,
        "admin": {"address": address(0) if admin is None else admin},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
        **fields,
    }


def pod_name(workload: str) -> str:
    """The one pod of a workload."""
    return f"{workload}-7d9c5bf6b4-x2vkq"


def node(*, workload: str, namespace: str, ip: str) -> Config:
    """The node block of an Istio sidecar: what the proxy claims to be."""
    pod = pod_name(workload)
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


def address(port: int, *, ip: str = LOOPBACK) -> Config:
    """A socket; port 0 takes a free one."""
    return {"socket_address": {"address": ip, "port_value": port}}


def listener(
    name: str,
    filters: Sequence[Config],
    *,
    at: Config | None = None,
    access_log: Config | None = None,
    transport_socket: Config | None = None,
    listener_filters: Sequence[Config] = (),
) -> Config:
    """A listener with one filter chain.

    Args:
        name: of the listener and of its counters.
        filters: network filters, in their order.
        at: its address; a free port of 127.0.0.1 if None.
        access_log: of connections, failed handshakes among them.
        transport_socket: TLS; None takes plaintext.
        listener_filters: what looks at a connection before anything else.
    """
    chain: Config = {"filters": list(filters)}
    if transport_socket is not None:
        chain["transport_socket"] = transport_socket
    config: Config = {
        "name": name,
        "stat_prefix": name,
        "address": address(0) if at is None else at,
        "filter_chains": [chain],
    }
    if access_log is not None:
        config["access_log"] = [access_log]
    if listener_filters:
        config["listener_filters"] = list(listener_filters)
    return config


def tls_inspector() -> Config:
    """A listener filter that takes the JA3 fingerprint of the caller's TLS library."""
    return typed(
        "envoy.filters.listener.tls_inspector",
        "filters.listener.tls_inspector.v3.TlsInspector",
        enable_ja3_fingerprinting=True,
    )


def http_filter(
    stat_prefix: str,
    *,
    access_log: Config,
    routes: Sequence[Config] = (),
    virtual_hosts: Sequence[Config] = (),
    http_filters: Sequence[Config] = (),
    **fields: Any,
) -> Config:
    """The HTTP connection manager; the router comes last.

    Args:
        stat_prefix: of its counters.
        access_log: of requests.
        routes: where requests go, whatever host they name.
        virtual_hosts: where they go by their host; in place of ``routes``.
        http_filters: what stands before the router, in this order.
        fields: more of its configuration, as Envoy names it.
    """
    hosts = list(virtual_hosts) or [virtual_host("all", ["*"], routes)]
    router = typed("envoy.filters.http.router", "filters.http.router.v3.Router")
    return typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=stat_prefix,
        generate_request_id=True,
        access_log=[access_log],
        route_config={"virtual_hosts": hosts},
        http_filters=[*http_filters, router],
        **fields,
    )


def virtual_host(name: str, domains: Sequence[str], routes: Sequence[Config]) -> Config:
    """The routes of requests that name one of these hosts."""
    return {"name": name, "domains": list(domains), "routes": list(routes)}


def route(path_prefix: str, cluster_name: str) -> Config:
    """A route to an upstream cluster."""
    return {"match": {"prefix": path_prefix}, "route": {"cluster": cluster_name}}


def http_rbac(action: str, policies: Mapping[str, Config], **fields: Any) -> Config:
    """The HTTP RBAC filter.

    Args:
        action: ``ALLOW``: what no policy matches is denied; or ``DENY``: what one matches is.
        policies: by name.
        fields: more of its configuration, as Envoy names it.
    """
    rules = {"action": action, "policies": dict(policies)}
    return typed("envoy.filters.http.rbac", "filters.http.rbac.v3.RBAC", rules=rules, **fields)


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


def cluster(
    name: str,
    port: int,
    *,
    ip: str = LOOPBACK,
    source_ip: str = "",
    transport_socket: Config | None = None,
    is_http2: bool = False,
) -> Config:
    """One static endpoint.

    Args:
        name: of the cluster.
        port: of the endpoint.
        ip: of the endpoint.
        source_ip: the address that connections leave from; the system's choice if empty.
        transport_socket: TLS; None connects in plaintext.
        is_http2: whether to speak HTTP/2 rather than HTTP/1.1.
    """
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address(port, ip=ip)}}]}
    config: Config = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [endpoint]},
    }
    if source_ip:
        source = {"address": source_ip, "port_value": 0}
        config["upstream_bind_config"] = {"source_address": source}
    if transport_socket is not None:
        config["transport_socket"] = transport_socket
    if is_http2:
        options = f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"
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
