"""The configuration of an Istio mesh: providers, what turns them on, mTLS to the collector.

Read for this: Istio's API (mesh/v1alpha1, telemetry/v1, networking) and what istiod makes of it
(pilot/pkg/networking/core/accesslog.go, pilot/pkg/model/telemetry.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Final, Literal

from meshtrail.errors import ConfigError
from meshtrail.model.otlp_attributes import Told
from meshtrail.wiring.access_logs import format_headers, format_tcp_log, make_log_names
from meshtrail.wiring.otlp_logs import format_otlp_log, format_otlp_provider
from meshtrail.wiring.values import check_namespace, check_spiffe_id, is_dns_name, quote

if TYPE_CHECKING:
    from meshtrail.wiring.access_logs import LogNames
    from meshtrail.wiring.values import Endpoint

IstioPart = Literal["mesh-config", "resources"]

HTTP_PROVIDER: Final = "meshtrail-http"
TCP_PROVIDER: Final = "meshtrail-tcp"

IS_REQUEST: Final = """\
has(request.method) || (has(response.code_details)
&& response.code_details != "filter_chain_not_found")"""
IS_CONNECTION: Final = f"""\
!({IS_REQUEST})
&& !xds.node.id.startsWith("router~")"""
"""CEL, which breaks lines as it likes. A request that does not parse has no method, but it has
response code details; a connection has none, unless no filter chain takes it. Gateways are
``router`` in their node ids."""

_SERVICE: Final = re.compile(r"[a-z0-9-]+\.([a-z0-9-]+)\.svc\.[a-z0-9.-]+", re.ASCII)
_COMMAND: Final = "meshtrail emit-config istio"
_SERVICE_ACCOUNT: Final = "meshtrail"


@dataclass(frozen=True, slots=True, kw_only=True)
class IstioWiring:
    """What a mesh has to know.

    Attributes:
        collector: the service in the cluster, ``NAME.NAMESPACE.svc.DOMAIN``, or a name outside it.
        collector_spiffe_id: whom the certificate of the collector must name; may be left out for a
            service in the cluster, whose account is then ``meshtrail`` of ``cluster.local``.
        root_namespace: where resources count for the whole mesh.
        log_prefix: begins the names of the access logs; None takes Istio's names.
        is_otlp: whether records are sent as OTLP instead of to the access log service.

    Raises:
        ConfigError: a value cannot stand, or is missing.
    """

    collector: Endpoint
    collector_spiffe_id: str | None = None
    root_namespace: str = "istio-system"
    log_prefix: str | None = None
    is_otlp: bool = False

    def __post_init__(self) -> None:
        """Refuse what Istio could not find, or whom nobody could recognise."""
        host = self.collector.host
        if not is_dns_name(host) or "." not in host:
            raise ConfigError(
                f"address {self.collector.format()}: Istio finds a collector by its name, such as "
                "meshtrail.meshtrail.svc.cluster.local:4317"
            )
        check_namespace(self.root_namespace, option="--root-namespace")
        if self.collector_spiffe_id is not None:
            check_spiffe_id(self.collector_spiffe_id, option="--collector-spiffe-id")
        elif self.service_namespace is None:
            raise ConfigError(
                f"{host} is no service of the cluster, so its identity cannot be told from its "
                "name: give --collector-spiffe-id"
            )

    @property
    def service_namespace(self) -> str | None:
        """The namespace of the service; None for a collector outside the cluster."""
        match = _SERVICE.fullmatch(self.collector.host)
        return match[1] if match else None

    @property
    def peer(self) -> str:
        """Whom the certificate of the collector must name."""
        if self.collector_spiffe_id is not None:
            return self.collector_spiffe_id
        return f"spiffe://cluster.local/ns/{self.service_namespace}/sa/{_SERVICE_ACCOUNT}"


def format_istio(wiring: IstioWiring, *, part: IstioPart | None = None) -> str:
    """The configuration as YAML documents.

    Args:
        wiring: what the mesh has to know.
        part: only what goes into MeshConfig, or only the resources to apply; None for both.
    """
    names = make_log_names(wiring.log_prefix)
    resources = [
        _format_telemetry(wiring),
        *([_format_service_entry(wiring)] if wiring.service_namespace is None else []),
        _format_destination_rule(wiring),
        _format_envoy_filter(wiring, names),
    ]
    documents = {
        "mesh-config": [_format_mesh_config(wiring, names)],
        "resources": resources,
        None: [_format_mesh_config(wiring, names), *resources],
    }[part]
    return f"{_format_head(wiring)}---\n" + "---\n".join(documents)


def _format_head(wiring: IstioWiring) -> str:
    command = f"{_COMMAND} --otlp" if wiring.is_otlp else _COMMAND
    return f"""\
# What an Istio mesh needs to report to meshtrail, made by `{command}` for
# {wiring.collector.format()}
# Sidecars and gateways send; ztunnel has no access log service.
"""


def _format_mesh_config(wiring: IstioWiring, names: LogNames) -> str:
    collector = f"""\
      service: {quote(wiring.collector.host)}
      port: {wiring.collector.port}"""
    if wiring.is_otlp:
        http = format_otlp_provider(names.http, collector=collector, told=Told.REQUEST)
        tcp = format_otlp_provider(names.tcp, collector=collector, told=Told.CONNECTION)
    else:
        http = _format_http_provider(names, collector)
        tcp = f"""\
    envoyTcpAls:
{collector}
      logName: {quote(names.tcp)}
"""
    return f"""\
# MeshConfig: into the values of istiod's chart, or spec of IstioOperator. Istio gives these logs no
# buffer size, so Envoy's own counts: what exceeds 16 KiB while meshtrail takes nothing is dropped,
# and counted in the proxy's logs_dropped.
meshConfig:
  extensionProviders:
  - name: {HTTP_PROVIDER}
{http}  - name: {TCP_PROVIDER}
{tcp}"""


def _format_http_provider(names: LogNames, collector: str) -> str:
    return f"""\
    envoyHttpAls:
{collector}
      logName: {quote(names.http)}
      # Trace ids, users, content types and gRPC statuses are read from these headers. What is
      # logged is kept for good: never add authorization, cookie or anything else that is a secret.
      # The users of tokens that a RequestAuthentication verified are in the record by themselves.
{format_headers("      ")}
"""


def _format_telemetry(wiring: IstioWiring) -> str:
    return f"""\
# Turns them on for the whole mesh.
#
# Istio heeds one Telemetry without selector in a namespace: where there is one already, usually
# mesh-default, add these entries to it instead. A Telemetry of a namespace or workload that names
# providers takes the place of this one there: it must name both of these again. What must stand
# nowhere: `disabled: true`, or another filter, such as `response.code >= 400`. A record that a
# filter kept back is in no log, and nobody can tell.
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata:
  name: meshtrail
  namespace: {quote(wiring.root_namespace)}
spec:
  accessLogging:
  # Istio attaches each provider to HTTP, to TCP and to the listener alike. These two filters lose
  # nothing: without them every request would be there as a connection, too, and every connection
  # as a request.
  - providers:
    - name: {HTTP_PROVIDER}
    filter:
      expression: >-
{indent(IS_REQUEST, "        ")}
  # CLIENT, and no gateway (router): what comes in from elsewhere is in the listener's log, below.
  - match:
      mode: CLIENT
    providers:
    - name: {TCP_PROVIDER}
    filter:
      expression: >-
{indent(IS_CONNECTION, "        ")}
  # With a Telemetry in force Istio ignores meshConfig.accessLogFile. To keep log lines on the
  # proxies' standard output, too:
  # - providers:
  #   - name: envoy
"""


def _format_service_entry(wiring: IstioWiring) -> str:
    return f"""\
# The collector is outside the mesh: this makes it known.
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: meshtrail
  namespace: {quote(wiring.root_namespace)}
spec:
  hosts:
  - {quote(wiring.collector.host)}
  ports:
  - number: {wiring.collector.port}
    name: grpc-als
    protocol: GRPC
  location: MESH_EXTERNAL
  resolution: DNS
"""


def _format_destination_rule(wiring: IstioWiring) -> str:
    namespace = wiring.service_namespace or wiring.root_namespace
    return f"""\
# mTLS from each proxy, with its own certificate, to meshtrail itself: so meshtrail's pod must have
# no sidecar, which would end the TLS, and meshtrail would hear from nobody. Its certificate must
# come from the mesh's CA. The Service's port must be named grpc-… (or appProtocol: grpc).
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: meshtrail
  namespace: {quote(namespace)}
spec:
  host: {quote(wiring.collector.host)}
  trafficPolicy:
    tls:
      mode: ISTIO_MUTUAL
      # But for this, any workload could pose as the collector, and read every record.
      subjectAltNames:
      - {quote(wiring.peer)}
    connectionPool:
      tcp:
        # Notices within a minute that a collector is gone without a word.
        tcpKeepalive:
          time: 30s
          interval: 10s
          probes: 3
"""


def _format_envoy_filter(wiring: IstioWiring, names: LogNames) -> str:
    cluster = f"outbound|{wiring.collector.port}||{wiring.collector.host}"
    if wiring.is_otlp:
        log = format_otlp_log(names.listener, cluster=cluster, told=Told.CONNECTION)
    else:
        log = format_tcp_log(names.listener, cluster=cluster)
    return f"""\
# A record of each connection that comes in, as it ends. Istio's own listener log keeps back all but
# those without a route (NR), and with them every failed TLS handshake: this one does not.
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: meshtrail-listener-log
  namespace: {quote(wiring.root_namespace)}
spec:
  configPatches:
  - applyTo: LISTENER
    match:
      context: SIDECAR_INBOUND
      listener:
        name: virtualInbound
    patch:
      operation: MERGE
      value:
        access_log:
{indent(log, "        ")}
  - applyTo: LISTENER
    match:
      context: GATEWAY
    patch:
      operation: MERGE
      value:
        access_log:
{indent(log, "        ")}
"""
