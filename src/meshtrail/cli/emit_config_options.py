"""The arguments of ``meshtrail emit-config``: which there are, and of which kind each one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import Parser, add_json_option, make_parser

if TYPE_CHECKING:
    import argparse

_ABOUT: Final = """
    Prints the configuration that makes proxies, agents and API servers report to meshtrail all
    that they can. It is YAML with comments that say why each line is there, what it costs and what
    still cannot be known; nothing is read, and nobody is asked. docs/wiring.md says by what each
    output was validated.

    envoy: eight pieces, each under a key that names its place: a cluster, access logs for
    listeners, connection managers and TCP proxies, fingerprints of TLS callers, spans for who wants
    them, and what Envoy counts, by which missing records show. With --sds-dir two small files
    follow.

    istio: MeshConfig's extension providers, then the resources that turn them on: a Telemetry, a
    DestinationRule (and a ServiceEntry for a collector outside the cluster), and an EnvoyFilter,
    without which Istio's sidecars keep failed handshakes to themselves. ztunnel: values for its
    chart, in ambient mode.

    linkerd, cilium: values for the chart, and annotations or a policy for one namespace. consul:
    the proxy defaults. kuma: policies of the mesh. These write lines, and the comment above them
    says how the lines get to meshtrail.

    kubernetes-audit: the audit policy of a kube-apiserver, the kubeconfig by which it sends, and
    its flags as a comment.
"""
_EXAMPLES: Final = (
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
    (
        "meshtrail emit-config kubernetes-audit --only policy",
        "The audit policy alone, for --audit-policy-file.",
    ),
)
SERVICE: Final = "meshtrail.meshtrail.svc.cluster.local"
ADDRESSES: Final = {
    "envoy": "127.0.0.1:4317",
    "istio": f"{SERVICE}:4317",
    "ztunnel": f"{SERVICE}:4318",
    "linkerd": f"{SERVICE}:4318",
    "cilium": f"{SERVICE}:4318",
    "consul": f"{SERVICE}:4318",
    "kuma": f"{SERVICE}:4318",
    "kubernetes-audit": f"{SERVICE}:4318",
}
"""By kind: where meshtrail is, unless somebody says otherwise."""

KUMA_OTLP_ADDRESS: Final = "127.0.0.1:4317"
NAMESPACE: Final = "default"
ROOT_NAMESPACES: Final = {"istio": "istio-system", "kuma": "kuma-system"}
MESH: Final = "default"
SDS_CERT: Final = "default"
SDS_CA: Final = "ROOTCA"
PARTS: Final = {
    "istio": ("mesh-config", "resources"),
    "linkerd": ("values", "annotations"),
    "cilium": ("values", "resources"),
    "kubernetes-audit": ("policy", "webhook"),
}
"""By kind: what can be printed alone."""


KINDS: Final = tuple(ADDRESSES)
_OWNERS: Final = {
    **dict.fromkeys(("sds_dir", "sds_cluster", "sds_cert", "sds_ca", "service_name"), ("envoy",)),
    **dict.fromkeys(("cert", "key", "ca"), ("envoy", "kubernetes-audit")),
    **dict.fromkeys(("collector_spiffe_id", "log_name"), ("envoy", "istio")),
    "otlp": ("envoy", "istio", "kuma"),
    "access_log_file": ("envoy", "consul", "kuma"),
    "root_namespace": ("istio", "kuma"),
    "mesh": ("kuma",),
    "namespace": ("linkerd", "cilium"),
    "token_file": ("kubernetes-audit",),
    "only": tuple(PARTS),
}
"""By option: the kinds that it is for."""


def make_emit_config_parser() -> Parser:
    """The arguments of ``meshtrail emit-config``."""
    parser = make_parser(
        "emit-config", _ABOUT, examples=_EXAMPLES, exits=(exit_codes.CONFIG, exit_codes.PIPE_CLOSED)
    )
    parser.add_argument("kind", metavar="KIND", choices=KINDS, help=", ".join(KINDS))
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help=f"where they reach meshtrail (default: {ADDRESSES['envoy']} for envoy, "
        f"{ADDRESSES['istio']} for istio, port 4318 of it for all others)",
    )
    parser.add_argument(
        "--only",
        metavar="PART",
        help="print only one part: "
        + "; ".join(f"{kind}: {' or '.join(parts)}" for kind, parts in PARTS.items()),
    )
    add_json_option(parser, "the YAML with the facts that it was made of, as one JSON object")
    _add_shared_options(parser)
    _add_envoy_options(parser)
    _add_mesh_options(parser)
    return parser


def refuse_strangers(parser: Parser, arguments: argparse.Namespace) -> None:
    """Refuse an option of another kind: it would have no effect, and somebody counts on it."""
    for name, owners in _OWNERS.items():
        if getattr(arguments, name) not in (None, False) and arguments.kind not in owners:
            parser.error(f"--{name.replace('_', '-')} goes with {', '.join(owners)}")
    if arguments.only is not None and arguments.only not in PARTS[arguments.kind]:
        wanted = " or ".join(PARTS[arguments.kind])
        parser.error(f"--only {arguments.only}: of {arguments.kind} there is {wanted}")


def _add_shared_options(parser: argparse.ArgumentParser) -> None:
    envoys = parser.add_argument_group("envoy, istio, consul, kuma: their access logs")
    envoys.add_argument(
        "--collector-spiffe-id",
        metavar="ID",
        help="envoy, istio: whom meshtrail's certificate must name (default for envoy: the host of "
        "--address; for istio: account meshtrail in the namespace of the service)",
    )
    envoys.add_argument(
        "--log-name",
        metavar="NAME",
        help="envoy, istio: names the logs NAME_http, NAME_tcp and NAME_listener (default: as "
        "Istio does, http_envoy_accesslog and so on)",
    )
    envoys.add_argument(
        "--otlp",
        action="store_true",
        help="envoy, istio, kuma: have OpenTelemetry access logs sent, instead of those of Envoy's "
        "access log service (the same events, from larger records) or, for kuma, of lines",
    )
    envoys.add_argument(
        "--access-log-file",
        metavar="PATH",
        help="envoy, consul, kuma: have access logs written to this file as JSON lines, for "
        "`meshtrail import envoy-json` or a shipper; /dev/stdout is one (default for consul and "
        "kuma: the proxy's standard output)",
    )


def _add_envoy_options(parser: argparse.ArgumentParser) -> None:
    own = parser.add_argument_group(
        "envoy, kubernetes-audit: the sender's own certificate, needed off loopback"
    )
    own.add_argument("--cert", metavar="FILE", help="its chain, PEM; paths as the sender sees them")
    own.add_argument("--key", metavar="FILE", help="its private key, PEM")
    own.add_argument("--ca", metavar="FILE", help="who signs meshtrail's certificate, PEM")
    own.add_argument(
        "--sds-dir",
        metavar="DIR",
        help="envoy: follow renewals of the three, which it reads once otherwise: two files of "
        "this folder name them; they are the second and third YAML document",
    )
    own.add_argument(
        "--sds-cluster",
        metavar="NAME",
        help="envoy, instead of files: the proxy's cluster for a secret discovery service, such as "
        "a SPIRE agent",
    )
    own.add_argument(
        "--sds-cert", metavar="NAME", help=f"its secret of chain and key (default: {SDS_CERT})"
    )
    own.add_argument(
        "--sds-ca",
        metavar="NAME",
        help=f"its secret that says who signs meshtrail's certificate (default: {SDS_CA})",
    )
    own.add_argument(
        "--token-file",
        metavar="FILE",
        help="kubernetes-audit, instead of --cert and --key: a token of `meshtrail keys token`",
    )
    parser.add_argument_group("envoy: spans").add_argument(
        "--service-name", metavar="NAME", help="what the proxy's spans call its service"
    )


def _add_mesh_options(parser: argparse.ArgumentParser) -> None:
    mesh = parser.add_argument_group("istio, kuma, linkerd, cilium: where it counts")
    mesh.add_argument(
        "--root-namespace",
        metavar="NAME",
        help="istio, kuma: where resources count for the whole mesh (default: "
        + ", ".join(ROOT_NAMESPACES.values())
        + ")",
    )
    mesh.add_argument("--mesh", metavar="NAME", help=f"kuma: of which mesh (default: {MESH})")
    mesh.add_argument(
        "--namespace",
        metavar="NAME",
        help="linkerd, cilium: whose annotations or policy are printed, beside the values "
        f"(default: {NAMESPACE})",
    )
