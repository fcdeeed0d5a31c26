"""The configuration of an Envoy of one's own: what to add, and where."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Final

from meshtrail.errors import ConfigError
from meshtrail.model.otlp_attributes import Told
from meshtrail.wiring.access_logs import (
    PERIOD,
    PORTIONS,
    TAGS,
    format_http_log,
    format_tcp_log,
    make_log_names,
)
from meshtrail.wiring.counters import format_bootstrap, format_lean_bootstrap
from meshtrail.wiring.file_logs import PORTIONS as FILE_PORTIONS
from meshtrail.wiring.file_logs import format_file_log
from meshtrail.wiring.identity import (
    FileIdentity,
    SdsIdentity,
    format_sds_files,
    format_transport_socket,
)
from meshtrail.wiring.otlp_logs import PORTIONS as OTLP_PORTIONS
from meshtrail.wiring.otlp_logs import format_otlp_log
from meshtrail.wiring.tracing import check_service_name, format_tracing
from meshtrail.wiring.values import check_path, check_spiffe_id, quote

if TYPE_CHECKING:
    from meshtrail.wiring.access_logs import LogNames
    from meshtrail.wiring.values import Endpoint

CLUSTER: Final = "meshtrail"
_OF_FILTERS: Final = " What RBAC\n# and JWT filters wrote is in the record without being asked for."
_OF_FILE: Final = "Leave out 1 and 6 to 8 where there is no way to meshtrail but the file."
_OF_TAGS: Final = """\
# An Envoy older than 1.37 refuses the custom_tags, wherever they stand: leave them out there, and
# events lack the number of the connection, the hash of the caller's certificate, and at the source
# the identity of the callee.
#
"""
_COMMAND: Final = "meshtrail emit-config envoy"
_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS_INSPECTOR: Final = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyWiring:
    """What an Envoy has to know.

    Attributes:
        collector: where meshtrail listens.
        identity: the proxy's own certificate; None sends in the clear, on loopback only.
        collector_spiffe_id: whom the certificate of the collector must name; without it, the host
            of ``collector``.
        log_prefix: begins the names of the access logs; None takes Istio's names.
        service_name: what the proxy's spans call it; None leaves that to Envoy.
        is_otlp: whether records are sent as OTLP instead of to the access log service.
        access_log_file: where records are written as JSON lines instead of being sent.

    Raises:
        ConfigError: a value cannot stand, or records would go out in the clear.
    """

    collector: Endpoint
    identity: FileIdentity | SdsIdentity | None = None
    collector_spiffe_id: str | None = None
    log_prefix: str | None = None
    service_name: str | None = None
    is_otlp: bool = False
    access_log_file: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would not be safe, or could not work."""
        if self.service_name is not None:
            check_service_name(self.service_name, option="--service-name")
        if self.access_log_file is not None:
            check_path(self.access_log_file, option="--access-log-file")
        if self.identity is None and not self.collector.is_loopback:
            raise ConfigError(
                f"{self.collector.format()} is not a loopback address, and records would go there "
                "in the clear, from nobody: give --cert, --key and --ca, or --sds-cluster"
            )
        if self.collector_spiffe_id is not None:
            check_spiffe_id(self.collector_spiffe_id, option="--collector-spiffe-id")
            if self.identity is None:
                raise ConfigError(
                    "--collector-spiffe-id is held against a certificate, and there is none in the "
                    "clear: give --cert, --key and --ca, or --sds-cluster"
                )


def format_envoy(wiring: EnvoyWiring) -> str:
    """The configuration as YAML: what to add, under a key for each place; then files, if any."""
    names = make_log_names(wiring.log_prefix)
    pieces = [
        _format_head(wiring),
        _format_cluster(wiring),
        _format_listener(wiring, names),
        _format_tls_listener(),
        _format_http(wiring, names),
        _format_tcp(wiring, names),
        _format_counters(),
        format_tracing(wiring.service_name, cluster=CLUSTER),
    ]
    files = []
    if isinstance(wiring.identity, FileIdentity):
        files = format_sds_files(wiring.identity)
    return "---\n".join(["\n".join(pieces), *files])


def _format_head(wiring: EnvoyWiring) -> str:
    command, add, portions = _COMMAND, "add what stands under each there.", PORTIONS
    older = _OF_TAGS
    if wiring.is_otlp:
        command, older, portions = f"{_COMMAND} --otlp", "", OTLP_PORTIONS
        add = "add what stands under\n# each there."
    if wiring.access_log_file is not None:
        command, older, portions = f"{_COMMAND} --access-log-file", "", FILE_PORTIONS
        add = f"add what stands\n# under each there. {_OF_FILE}"
    return f"""\
# What an Envoy needs to report to meshtrail at {wiring.collector.format()}, made by
# `{command}`. Each key names a place; {add}
#
# Envoy's node.id and node.cluster should be set (in the bootstrap, or by --service-node and
# --service-cluster): they become reporter_id and reporter_cluster. Add no filter and no sampling to
# an access log: what was not sent is in no log, and nobody can tell.
#
{older}{portions}"""


def _format_cluster(wiring: EnvoyWiring) -> str:
    collector = wiring.collector
    kind = "STATIC" if collector.is_ip else "STRICT_DNS"
    address = f"{{address: {quote(collector.host)}, port_value: {collector.port}}}"
    socket = format_transport_socket(
        wiring.identity, collector=collector, spiffe_id=wiring.collector_spiffe_id
    )
    return f"""\
# 1. In static_resources.clusters: the sink of 6 takes no cluster that comes from elsewhere.
clusters:
- name: {CLUSTER}
  type: {kind}
  connect_timeout: 5s
  load_assignment:
    cluster_name: {CLUSTER}
    endpoints:
    - lb_endpoints:
      - endpoint: {{address: {{socket_address: {address}}}}}
  typed_extension_protocol_options:
    {_OPTIONS}:
      "@type": type.googleapis.com/{_OPTIONS}
      explicit_http_config:
        # gRPC is HTTP/2. The pings notice within 40 s that a collector is gone without a word; TCP
        # alone takes a quarter of an hour, and what is sent meanwhile is lost.
        http2_protocol_options: {{connection_keepalive: {{interval: 30s, timeout: 10s}}}}
{indent(socket, "  ")}"""


def _format_listener(wiring: EnvoyWiring, names: LogNames) -> str:
    log = _format_connection_log(wiring, names.listener)
    return f"""\
# 2. In every listener: a record of each connection as it ends. Only here does a TLS handshake that
# failed show at all, and a connection that no filter chain took.
listener:
  access_log:
{indent(log, "  ")}
"""


def _format_tls_listener() -> str:
    return f"""\
# 3. In every listener that ends TLS, and in no other: where callers speak in the clear, Envoy would
# report a TLS error for each of them.
tls_listener:
  listener_filters:
  # The caller's JA3 fingerprint, also where the handshake fails.
  - name: envoy.filters.listener.tls_inspector
    typed_config:
      "@type": type.googleapis.com/{_TLS_INSPECTOR}
      enable_ja3_fingerprinting: true
"""


def _format_http(wiring: EnvoyWiring, names: LogNames) -> str:
    is_sent = wiring.access_log_file is None and not wiring.is_otlp
    if wiring.access_log_file is not None:
        log = format_file_log(wiring.access_log_file, told=Told.REQUEST)
    elif wiring.is_otlp:
        log = format_otlp_log(names.http, cluster=CLUSTER, told=Told.REQUEST)
    else:
        log = format_http_log(names.http, cluster=CLUSTER, tags=TAGS)
    # The access log service sends what filters wrote; elsewhere it is asked for.
    of_filters = _OF_FILTERS if is_sent else ""
    return f"""\
# 4. In every http_connection_manager: a record of each request as it ends. Leave
# generate_request_id as it is (true): the id joins what both ends say of a request.{of_filters}
# A jwt_authn filter tells whose token it verified where its providers have payload_in_metadata,
# under any key. All claims are in the record then, and kept for good.
http_connection_manager:
  access_log:
{indent(log, "  ")}
  # Requests that last, such as gRPC streams, are told of every minute, not only at their end.
  access_log_options: {{access_log_flush_interval: {PERIOD}}}
"""


def _format_tcp(wiring: EnvoyWiring, names: LogNames) -> str:
    chosen = """\
  # The listener's log has the end of each connection already: a second record would count twice.
  filter: {log_type_filter: {types: [TcpUpstreamConnected, TcpPeriodic]}}
"""
    log = _format_connection_log(wiring, names.tcp, filtered=chosen)
    return f"""\
# 5. In every tcp_proxy: a record of each connection as soon as its upstream is reached, and every
# minute while it lasts, which may be days. connection_id joins them to its end.
tcp_proxy:
  access_log:
{indent(log, "  ")}
  access_log_options: {{access_log_flush_interval: {PERIOD}, flush_access_log_on_connected: true}}
"""


def _format_counters() -> str:
    bootstrap, lean = format_bootstrap(CLUSTER), format_lean_bootstrap()
    return f"""\
# 6. In the bootstrap, beside static_resources: what Envoy itself counts, every ten seconds and once
# more as it ends. Without it nobody can tell whether a record is missing.
{bootstrap}
# 7. In the bootstrap, too, but only where nobody else reads this Envoy's statistics: it then makes
# the counters that are needed and no others, also for Prometheus and the admin endpoint. A push of
# a proxy with 300 clusters has 215 kB without it, and 4 kB with it; meshtrail keeps the same.
{lean}"""


def _format_connection_log(wiring: EnvoyWiring, log_name: str, *, filtered: str = "") -> str:
    if wiring.access_log_file is not None:
        return format_file_log(wiring.access_log_file, told=Told.CONNECTION, filtered=filtered)
    if wiring.is_otlp:
        return format_otlp_log(log_name, cluster=CLUSTER, told=Told.CONNECTION, filtered=filtered)
    return format_tcp_log(log_name, cluster=CLUSTER, filtered=filtered, tags=TAGS)
