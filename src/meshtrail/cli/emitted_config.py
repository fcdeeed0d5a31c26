"""Arguments of ``meshtrail emit-config`` to the configuration that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.cli.emit_config_options import (
    ADDRESSES,
    KUMA_OTLP_ADDRESS,
    MESH,
    NAMESPACE,
    ROOT_NAMESPACES,
    SDS_CA,
    SDS_CERT,
)
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

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from meshtrail.cli.documentation import Parser
    from meshtrail.wiring import Endpoint

    Format = Callable[[Parser, argparse.Namespace, Endpoint], str]


def format_config(parser: Parser, arguments: argparse.Namespace) -> tuple[str, Endpoint]:
    """The configuration that is asked for, and where it sends to.

    Raises:
        ConfigError: a value cannot stand, or would not be safe.
    """
    default = ADDRESSES[arguments.kind]
    if arguments.kind == "kuma" and arguments.otlp:
        default = KUMA_OTLP_ADDRESS
    collector = parse_endpoint(arguments.address or default)
    return _FORMATS[arguments.kind](parser, arguments, collector), collector


def _format_envoy(parser: Parser, arguments: argparse.Namespace, collector: Endpoint) -> str:
    if arguments.otlp and arguments.access_log_file is not None:
        parser.error("--access-log-file takes the place of --otlp")
    return format_envoy(
        EnvoyWiring(
            collector=collector,
            identity=_identity(parser, arguments),
            collector_spiffe_id=arguments.collector_spiffe_id,
            log_prefix=arguments.log_name,
            service_name=arguments.service_name,
            is_otlp=arguments.otlp,
            access_log_file=arguments.access_log_file,
        )
    )


def _identity(parser: Parser, arguments: argparse.Namespace) -> FileIdentity | SdsIdentity | None:
    files = (arguments.cert, arguments.key, arguments.ca)
    if arguments.sds_cluster is not None:
        if any(one is not None for one in (*files, arguments.sds_dir)):
            parser.error("--sds-cluster takes the place of --cert, --key, --ca and --sds-dir")
        return SdsIdentity(
            cluster=arguments.sds_cluster,
            cert=arguments.sds_cert or SDS_CERT,
            ca=arguments.sds_ca or SDS_CA,
        )
    for name in ("sds_cert", "sds_ca"):
        if getattr(arguments, name) is not None:
            parser.error(f"--{name.replace('_', '-')} goes with --sds-cluster")
    if all(one is None for one in files) and arguments.sds_dir is None:
        return None
    if any(one is None for one in files):
        parser.error("mTLS needs all three of --cert, --key and --ca")
    return FileIdentity(
        cert=arguments.cert, key=arguments.key, ca=arguments.ca, sds_dir=arguments.sds_dir
    )


def _format_istio(_parser: Parser, arguments: argparse.Namespace, collector: Endpoint) -> str:
    wiring = IstioWiring(
        collector=collector,
        collector_spiffe_id=arguments.collector_spiffe_id,
        root_namespace=arguments.root_namespace or ROOT_NAMESPACES["istio"],
        log_prefix=arguments.log_name,
        is_otlp=arguments.otlp,
    )
    return format_istio(wiring, part=arguments.only)


def _format_ztunnel(_parser: Parser, _arguments: argparse.Namespace, collector: Endpoint) -> str:
    return format_ztunnel(collector)


def _format_linkerd(_parser: Parser, arguments: argparse.Namespace, collector: Endpoint) -> str:
    namespace = arguments.namespace or NAMESPACE
    return format_linkerd(collector, namespace=namespace, part=arguments.only)


def _format_cilium(_parser: Parser, arguments: argparse.Namespace, collector: Endpoint) -> str:
    namespace = arguments.namespace or NAMESPACE
    return format_cilium(collector, namespace=namespace, part=arguments.only)


def _format_consul(_parser: Parser, arguments: argparse.Namespace, collector: Endpoint) -> str:
    return format_consul(collector, access_log_file=arguments.access_log_file)


def _format_kuma(parser: Parser, arguments: argparse.Namespace, collector: Endpoint) -> str:
    if arguments.otlp and arguments.access_log_file is not None:
        parser.error("--access-log-file takes the place of --otlp")
    wiring = KumaWiring(
        collector=collector,
        mesh=arguments.mesh or MESH,
        namespace=arguments.root_namespace or ROOT_NAMESPACES["kuma"],
        access_log_file=arguments.access_log_file or "/dev/stdout",
        is_otlp=arguments.otlp,
    )
    return format_kuma(wiring)


def _format_audit(parser: Parser, arguments: argparse.Namespace, collector: Endpoint) -> str:
    files = (arguments.cert, arguments.key)
    if arguments.token_file is not None and files != (None, None):
        parser.error("--token-file takes the place of --cert and --key")
    if (arguments.cert is None) != (arguments.key is None):
        parser.error("a certificate needs both of --cert and --key")
    default = AuditWiring(collector=collector)
    ca = arguments.ca or default.ca
    if arguments.token_file is not None:
        wiring = AuditWiring(
            collector=collector, ca=ca, cert=None, key=None, token=arguments.token_file
        )
    else:
        cert, key = arguments.cert or default.cert, arguments.key or default.key
        wiring = AuditWiring(collector=collector, ca=ca, cert=cert, key=key)
    return format_kubernetes_audit(wiring, part=arguments.only)


_FORMATS: Final[dict[str, Format]] = {
    "envoy": _format_envoy,
    "istio": _format_istio,
    "ztunnel": _format_ztunnel,
    "linkerd": _format_linkerd,
    "cilium": _format_cilium,
    "consul": _format_consul,
    "kuma": _format_kuma,
    "kubernetes-audit": _format_audit,
}
