"""``meshtrail emit-config``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import Parser, add_json_option, make_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from meshtrail.wiring import EnvoyWiring, FileIdentity, IstioWiring, SdsIdentity

_ABOUT = """
    Prints the configuration that makes proxies report to meshtrail: access logs with every field
    that events are made of, connections and failed TLS handshakes among them, sent over mTLS with
    the proxy's own certificate. It is YAML with comments that say why each line is there; nothing
    is read, and nobody is asked.

    envoy: eight pieces, each under a key that names its place: a cluster, access logs for
    listeners, connection managers and TCP proxies, fingerprints of TLS callers, spans for who wants
    them, and what Envoy counts, by which missing records show. With --sds-dir two small files
    follow.

    istio: MeshConfig's extension providers, then the resources that turn them on: a Telemetry, a
    DestinationRule (and a ServiceEntry for a collector outside the cluster), and an EnvoyFilter,
    without which Istio's sidecars keep failed handshakes to themselves.
"""
_EXAMPLES = (
    ("meshtrail emit-config envoy", "For an Envoy on the machine of `meshtrail up`, in the clear."),
    (
        "meshtrail emit-config envoy --address trail:4317 --cert /c.pem --key /k.pem --ca /ca.pem",
        "mTLS with the proxy's certificate from files; meshtrail's must name the host, trail.",
    ),
    (
        "meshtrail emit-config envoy --address trail:4317 --sds-cluster spire_agent",
        "mTLS with the certificate that a SPIRE agent keeps fresh.",
    ),
    (
        "meshtrail emit-config istio --only resources | kubectl apply -f -",
        "For deploy/kubernetes as it is; the providers (--only mesh-config) go to istiod before.",
    ),
)
_KINDS: Final = ("envoy", "istio")
_ADDRESSES: Final = {
    "envoy": "127.0.0.1:4317",
    "istio": "meshtrail.meshtrail.svc.cluster.local:4317",
}
_ENVOY_ONLY: Final = (
    *("cert", "key", "ca", "sds_dir", "sds_cluster", "sds_cert", "sds_ca"),
    *("service_name", "access_log_file"),
)
_ISTIO_ONLY: Final = ("root_namespace", "only")
_SDS_CERT: Final = "default"
_SDS_CA: Final = "ROOTCA"
_ROOT_NAMESPACE: Final = "istio-system"


def make_emit_config_parser() -> Parser:
    """The arguments of ``meshtrail emit-config``."""
    parser = make_parser(
        "emit-config", _ABOUT, examples=_EXAMPLES, exits=(exit_codes.CONFIG, exit_codes.PIPE_CLOSED)
    )
    parser.add_argument("kind", metavar="envoy|istio", choices=_KINDS)
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="where the proxies reach meshtrail (default: "
        f"{_ADDRESSES['envoy']} for envoy, {_ADDRESSES['istio']} for istio)",
    )
    parser.add_argument(
        "--collector-spiffe-id",
        metavar="ID",
        help="whom meshtrail's certificate must name (default for envoy: the host of --address; "
        "for istio: account meshtrail in the namespace of the service)",
    )
    parser.add_argument(
        "--log-name",
        metavar="NAME",
        help="names the logs NAME_http, NAME_tcp and NAME_listener (default: as Istio does, "
        "http_envoy_accesslog and so on)",
    )
    parser.add_argument(
        "--otlp",
        action="store_true",
        help="have Envoy's OpenTelemetry access logs sent instead of those of its access log "
        "service: the same events, from larger records",
    )
    add_json_option(parser, "the YAML with the facts that it was made of, as one JSON object")
    _add_envoy_options(parser)
    _add_istio_options(parser)
    return parser


def _add_envoy_options(parser: argparse.ArgumentParser) -> None:
    envoy = parser.add_argument_group("envoy: the proxy's own certificate, needed off loopback")
    envoy.add_argument(
        "--cert", metavar="FILE", help="its chain, PEM; paths as the proxy sees them"
    )
    envoy.add_argument("--key", metavar="FILE", help="its private key, PEM")
    envoy.add_argument("--ca", metavar="FILE", help="who signs meshtrail's certificate, PEM")
    envoy.add_argument(
        "--sds-dir",
        metavar="DIR",
        help="have Envoy follow renewals of the three, which it reads once otherwise: two files of "
        "this folder name them; they are the second and third YAML document",
    )
    envoy.add_argument(
        "--sds-cluster",
        metavar="NAME",
        help="instead of files: the proxy's cluster for a secret discovery service, such as a "
        "SPIRE agent",
    )
    envoy.add_argument(
        "--sds-cert", metavar="NAME", help=f"its secret of chain and key (default: {_SDS_CERT})"
    )
    envoy.add_argument(
        "--sds-ca",
        metavar="NAME",
        help=f"its secret that says who signs meshtrail's certificate (default: {_SDS_CA})",
    )
    parser.add_argument_group("envoy: a file").add_argument(
        "--access-log-file",
        metavar="PATH",
        help="have access logs written to this file as JSON lines instead of being sent, for "
        "`meshtrail import envoy-json` or a shipper; /dev/stdout is one",
    )
    parser.add_argument_group("envoy: spans").add_argument(
        "--service-name", metavar="NAME", help="what the proxy's spans call its service"
    )


def _add_istio_options(parser: argparse.ArgumentParser) -> None:
    istio = parser.add_argument_group("istio")
    istio.add_argument(
        "--root-namespace",
        metavar="NAME",
        help=f"where resources count for the whole mesh (default: {_ROOT_NAMESPACE})",
    )
    istio.add_argument(
        "--only",
        metavar="mesh-config|resources",
        choices=("mesh-config", "resources"),
        help="print only the one or the other (default: both)",
    )


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = make_emit_config_parser()
    arguments = parser.parse_args(argv)
    _refuse_strangers(parser, arguments)
    from meshtrail.wiring import format_envoy, format_istio

    if arguments.kind == "envoy":
        envoy = _envoy_wiring(parser, arguments)
        text, collector = format_envoy(envoy), envoy.collector
    else:
        istio = _istio_wiring(arguments)
        text, collector = format_istio(istio, part=arguments.only), istio.collector
    if arguments.json:
        facts = {"for": arguments.kind, "address": collector.format(), "yaml": text}
        print(json.dumps(facts))
    else:
        print(text, end="")
    return exit_codes.OK


def _refuse_strangers(parser: Parser, arguments: argparse.Namespace) -> None:
    """An option of the other kind would have no effect: somebody counts on it."""
    other = _ISTIO_ONLY if arguments.kind == "envoy" else _ENVOY_ONLY
    for name in other:
        if getattr(arguments, name) is not None:
            owner = next(kind for kind in _KINDS if kind != arguments.kind)
            parser.error(f"--{name.replace('_', '-')} goes with {owner}")


def _envoy_wiring(parser: Parser, arguments: argparse.Namespace) -> EnvoyWiring:
    from meshtrail.wiring import EnvoyWiring, parse_endpoint

    if arguments.otlp and arguments.access_log_file is not None:
        parser.error("--access-log-file takes the place of --otlp")
    return EnvoyWiring(
        collector=parse_endpoint(arguments.address or _ADDRESSES["envoy"]),
        identity=_identity(parser, arguments),
        collector_spiffe_id=arguments.collector_spiffe_id,
        log_prefix=arguments.log_name,
        service_name=arguments.service_name,
        is_otlp=arguments.otlp,
        access_log_file=arguments.access_log_file,
    )


def _identity(parser: Parser, arguments: argparse.Namespace) -> FileIdentity | SdsIdentity | None:
    from meshtrail.wiring import FileIdentity, SdsIdentity

    files = (arguments.cert, arguments.key, arguments.ca)
    if arguments.sds_cluster is not None:
        if any(one is not None for one in (*files, arguments.sds_dir)):
            parser.error("--sds-cluster takes the place of --cert, --key, --ca and --sds-dir")
        return SdsIdentity(
            cluster=arguments.sds_cluster,
            cert=arguments.sds_cert or _SDS_CERT,
            ca=arguments.sds_ca or _SDS_CA,
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


def _istio_wiring(arguments: argparse.Namespace) -> IstioWiring:
    from meshtrail.wiring import IstioWiring, parse_endpoint

    return IstioWiring(
        collector=parse_endpoint(arguments.address or _ADDRESSES["istio"]),
        collector_spiffe_id=arguments.collector_spiffe_id,
        root_namespace=arguments.root_namespace or _ROOT_NAMESPACE,
        log_prefix=arguments.log_name,
        is_otlp=arguments.otlp,
    )
