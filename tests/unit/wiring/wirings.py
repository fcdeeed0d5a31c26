"""One wiring of each kind that can be asked for."""

from __future__ import annotations

from typing import Any

from meshtrail.wiring import (
    EnvoyWiring,
    FileIdentity,
    IstioWiring,
    SdsIdentity,
    format_envoy,
    format_istio,
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
TEXTS = {
    **{name: format_envoy(wiring) for name, wiring in ENVOY.items()},
    **{name: format_istio(wiring) for name, wiring in ISTIO.items()},
}


def common_config(log: dict[str, Any]) -> dict[str, Any]:
    """What every kind of access log is told: where to, under which name, in what portions."""
    config: dict[str, Any] = log["typed_config"]
    common: dict[str, Any] = config.get("common_config", config)
    return common
