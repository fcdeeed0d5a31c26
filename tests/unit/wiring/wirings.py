"""One wiring of each kind that can be asked for."""

from __future__ import annotations

from typing import Any

from meshtrail.wiring import (
    AuditWiring,
    EnvoyWiring,
    FileIdentity,
    IstioWiring,
    KumaWiring,
    SdsIdentity,
    format_cilium,
    format_consul,
    format_envoy,
    format_istio,
    format_kubernetes_audit,
    format_kuma,
    format_linkerd,
    format_ztunnel,
    parse_endpoint,
)

LOOPBACK = parse_endpoint("127.0.0.1:4317")
ELSEWHERE = parse_endpoint("trail.example.com:4317")
SERVICE = parse_endpoint("meshtrail.meshtrail.svc.cluster.local:4317")
COLLECTOR = "spiffe://example.com/ns/meshtrail/sa/collector"
CERT, KEY, CA = "/etc/envoy/tls/tls.crt", "/etc/envoy/tls/tls.key", "/etc/envoy/ca/ca.crt"
FILES = FileIdentity(cert=CERT, key=KEY, ca=CA)

ENVOY = {
    "envoy-plaintext": EnvoyWiring(collector=LOOPBACK),
    "envoy-files": EnvoyWiring(collector=ELSEWHERE, identity=FILES, collector_spiffe_id=COLLECTOR),
    "envoy-otlp": EnvoyWiring(collector=LOOPBACK, is_otlp=True),
    "envoy-file": EnvoyWiring(collector=LOOPBACK, access_log_file="/var/log/envoy/access.json"),
    "envoy-sds-dir": EnvoyWiring(
        collector=ELSEWHERE,
        identity=FileIdentity(cert=CERT, key=KEY, ca=CA, sds_dir="/etc/envoy/sds"),
        log_prefix="shop",
        service_name="payments.shop",
    ),
    "envoy-sds-cluster": EnvoyWiring(
        collector=parse_endpoint("[fd00::7]:4317"), identity=SdsIdentity(cluster="spire_agent")
    ),
}
ISTIO = {
    "istio": IstioWiring(collector=SERVICE),
    "istio-otlp": IstioWiring(collector=SERVICE, is_otlp=True),
    "istio-outside": IstioWiring(collector=ELSEWHERE, collector_spiffe_id=COLLECTOR),
}
DOOR = parse_endpoint("meshtrail.meshtrail.svc.cluster.local:4318")
KUMA = {
    "kuma": KumaWiring(collector=DOOR),
    "kuma-otlp": KumaWiring(collector=LOOPBACK, mesh="shop", namespace="kuma", is_otlp=True),
}
AUDIT = {
    "kubernetes-audit": AuditWiring(collector=DOOR),
    "kubernetes-audit-token": AuditWiring(
        collector=parse_endpoint("10.0.0.7:4318"),
        cert=None,
        key=None,
        token="/etc/meshtrail/token",
    ),
}
LINES = {
    "ztunnel": format_ztunnel(DOOR),
    "linkerd": format_linkerd(DOOR, namespace="default"),
    "cilium": format_cilium(DOOR, namespace="default"),
    "consul": format_consul(DOOR),
    "consul-file": format_consul(DOOR, access_log_file="/var/log/envoy/access.json"),
}
TEXTS = {
    **{name: format_envoy(wiring) for name, wiring in ENVOY.items()},
    **{name: format_istio(wiring) for name, wiring in ISTIO.items()},
    **{name: format_kuma(wiring) for name, wiring in KUMA.items()},
    **{name: format_kubernetes_audit(wiring) for name, wiring in AUDIT.items()},
    **LINES,
}


def common_config(log: dict[str, Any]) -> dict[str, Any]:
    """What every kind of access log is told: where to, under which name, in what portions."""
    config: dict[str, Any] = log["typed_config"]
    common: dict[str, Any] = config.get("common_config", config)
    return common
