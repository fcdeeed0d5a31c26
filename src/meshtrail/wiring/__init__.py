"""How proxies and API servers are told to report to us: options in, commented YAML out.

Text only: nothing here reads a file, asks a server or knows an Envoy. Used by the command line.
"""

from meshtrail.wiring.cilium import CiliumPart, format_cilium
from meshtrail.wiring.consul import format_consul
from meshtrail.wiring.envoy import EnvoyWiring, format_envoy
from meshtrail.wiring.identity import FileIdentity, SdsIdentity
from meshtrail.wiring.istio import IstioPart, IstioWiring, format_istio
from meshtrail.wiring.kubernetes_audit import AuditPart, AuditWiring, format_kubernetes_audit
from meshtrail.wiring.kuma import KumaWiring, format_kuma
from meshtrail.wiring.linkerd import LinkerdPart, format_linkerd
from meshtrail.wiring.values import Endpoint, parse_endpoint
from meshtrail.wiring.ztunnel import format_ztunnel

__all__ = [
    "AuditPart",
    "AuditWiring",
    "CiliumPart",
    "Endpoint",
    "EnvoyWiring",
    "FileIdentity",
    "IstioPart",
    "IstioWiring",
    "KumaWiring",
    "LinkerdPart",
    "SdsIdentity",
    "format_cilium",
    "format_consul",
    "format_envoy",
    "format_istio",
    "format_kubernetes_audit",
    "format_kuma",
    "format_linkerd",
    "format_ztunnel",
    "parse_endpoint",
]
