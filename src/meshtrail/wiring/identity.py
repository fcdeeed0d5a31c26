"""Who the proxy is to the collector, and whom it takes for it: the TLS of the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Final

from meshtrail.wiring.values import check_cluster_name, check_path, check_secret_name, quote

if TYPE_CHECKING:
    from meshtrail.wiring.values import Endpoint

_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_IDENTITY: Final = "meshtrail_identity"
_CA: Final = "meshtrail_ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIdentity:
    """The proxy's certificate in files.

    Attributes:
        cert: certificate chain, PEM, with the proxy's SPIFFE ID.
        key: its private key, PEM.
        ca: who signs the certificate of the collector, PEM.
        sds_dir: where two files shall lie that name these three, so that Envoy follows their
            renewal; None has Envoy read the three once.

    Raises:
        ConfigError: a path cannot stand in YAML.
    """

    cert: str
    key: str
    ca: str
    sds_dir: str | None = None

    def __post_init__(self) -> None:
        """Refuse paths that are relative, or hold more than plain characters."""
        for option, path in (("--cert", self.cert), ("--key", self.key), ("--ca", self.ca)):
            check_path(path, option=option)
        if self.sds_dir is not None:
            check_path(self.sds_dir, option="--sds-dir")


@dataclass(frozen=True, slots=True, kw_only=True)
class SdsIdentity:
    """The proxy's certificate from a secret discovery service, such as a SPIRE agent.

    Attributes:
        cluster: of the service, which the proxy has already.
        cert: name of the secret with certificate and key.
        ca: name of the secret that says who signs the certificate of the collector.

    Raises:
        ConfigError: a name cannot stand in YAML.
    """

    cluster: str
    cert: str = "default"
    ca: str = "ROOTCA"

    def __post_init__(self) -> None:
        """Refuse names that no cluster or secret has."""
        check_cluster_name(self.cluster, option="--sds-cluster")
        check_secret_name(self.cert, option="--sds-cert")
        check_secret_name(self.ca, option="--sds-ca")


def format_transport_socket(
    identity: FileIdentity | SdsIdentity | None, *, collector: Endpoint, spiffe_id: str | None
) -> str:
    """The cluster's ``transport_socket``; a comment in its place where there is none.

    Args:
        identity: of the proxy; None for plaintext.
        collector: its host is held against the certificate where there is no SPIFFE ID.
        spiffe_id: whom the certificate of the collector must name.
    """
    if identity is None:
        return (
            "# In the clear, on loopback: records come from nobody (reporter_auth none), so what\n"
            "# they say of identities is reported, never attested. --cert, --key and --ca\n"
            "# change that.\n"
        )
    sni = "" if collector.is_ip else f"\n    sni: {quote(collector.host)}"
    return f"""\
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": {_TLS}.UpstreamTlsContext{sni}
    common_tls_context:
      alpn_protocols: [h2]
      # Unless told, an Envoy that connects stops at TLS 1.2.
      tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}
{indent(_format_secrets(identity, _format_peer(collector, spiffe_id)), "      ")}"""


def format_sds_files(identity: FileIdentity) -> list[str]:
    """The files that ``sds_dir`` needs, each as a YAML document; none without it."""
    if identity.sds_dir is None:
        return []
    watched = f"watched_directory: {{path: {quote(identity.cert.rpartition('/')[0] or '/')}}}"
    ca_watched = f"watched_directory: {{path: {quote(identity.ca.rpartition('/')[0] or '/')}}}"
    return [
        f"""\
# {_sds_file(identity.sds_dir, _IDENTITY)}
# Read again when something is renamed into the folder of the certificate, as certificate managers
# and Kubernetes do.
resources:
- "@type": {_TLS}.Secret
  name: {_IDENTITY}
  tls_certificate:
    certificate_chain: {{filename: {quote(identity.cert)}}}
    private_key: {{filename: {quote(identity.key)}}}
    {watched}
""",
        f"""\
# {_sds_file(identity.sds_dir, _CA)}
resources:
- "@type": {_TLS}.Secret
  name: {_CA}
  validation_context:
    trusted_ca: {{filename: {quote(identity.ca)}}}
    {ca_watched}
""",
    ]


def _format_peer(collector: Endpoint, spiffe_id: str | None) -> str:
    """Whom the certificate must name: else every workload of the mesh could pose as collector."""
    if spiffe_id is not None:
        kind, name = "URI", spiffe_id
    else:
        kind, name = ("IP_ADDRESS" if collector.is_ip else "DNS"), collector.host
    return f"""\
# But for this, any workload with a certificate of that CA could
# pose as the collector, and read every record.
match_typed_subject_alt_names:
- {{san_type: {kind}, matcher: {{exact: {quote(name)}}}}}
"""


def _format_secrets(identity: FileIdentity | SdsIdentity, peer: str) -> str:
    """The proxy's own certificate, whose SPIFFE ID becomes reporter_spiffe_id, and who to trust."""
    own = "# The proxy's own: its SPIFFE ID is what the stream is authenticated as.\n"
    if isinstance(identity, SdsIdentity):
        source = f"""\
api_config_source:
  api_type: GRPC
  transport_api_version: V3
  grpc_services: [{{envoy_grpc: {{cluster_name: {quote(identity.cluster)}}}}}]"""
        return own + _format_sds((identity.cert, source), (identity.ca, source), peer)
    if identity.sds_dir is not None:
        cert, ca = (
            f"path_config_source: {{path: {quote(_sds_file(identity.sds_dir, name))}}}"
            for name in (_IDENTITY, _CA)
        )
        return own + _format_sds((_IDENTITY, cert), (_CA, ca), peer)
    return f"""\
{own}# Envoy reads these files once. Certificates that are renewed need --sds-dir or
# --sds-cluster: with an old one the next connection fails, and every record
# after that is lost without a trace.
tls_certificates:
- certificate_chain: {{filename: {quote(identity.cert)}}}
  private_key: {{filename: {quote(identity.key)}}}
validation_context:
  trusted_ca: {{filename: {quote(identity.ca)}}}
{indent(peer, "  ")}"""


def _format_sds(cert: tuple[str, str], ca: tuple[str, str], peer: str) -> str:
    """Both secrets, each by its name and where it comes from."""
    return f"""\
tls_certificate_sds_secret_configs:
- name: {quote(cert[0])}
  sds_config:
    resource_api_version: V3
{indent(cert[1], "    ")}
combined_validation_context:
  default_validation_context:
{indent(peer, "    ")}  validation_context_sds_secret_config:
    name: {quote(ca[0])}
    sds_config:
      resource_api_version: V3
{indent(ca[1], "      ")}
"""


def _sds_file(folder: str, name: str) -> str:
    return f"{folder}/{name}.yaml"
