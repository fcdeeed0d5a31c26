"""Who is at the other end of a connection, as the TLS handshake proved it.

Nothing here comes from a payload. SPIFFE: an X.509-SVID has exactly one URI SAN; a certificate with
none or several authenticates its holder by its fingerprint alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from meshtrail.collect.address import format_peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AUTH_MTLS = "mtls"
AUTH_NONE = "none"

# What cryptography raises for certificates that a lax authority signed.
_UNDECODABLE = (
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_SPIFFE_ID_BYTES_MAX = 2_048
_TRUST_DOMAIN_BYTES_MAX = 255
_SPIFFE_ID = re.compile(r"spiffe://([a-z0-9._-]+)((?:/[A-Za-z0-9._-]+)+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a connection.

    Attributes:
        address: as the socket saw it.
        auth: ``mtls`` or ``none``.
        spiffe_id: of its certificate, when that is an X.509-SVID.
        certificate_sha256: of its certificate, DER.
        detail: why there is no SPIFFE ID although there is a certificate.
    """

    address: str
    auth: str = AUTH_NONE
    spiffe_id: str | None = None
    certificate_sha256: bytes | None = None
    detail: str | None = None


def identify_peer(peer: str, auth_context: Mapping[str, Iterable[bytes]]) -> Peer:
    """The peer of a call.

    Args:
        peer: gRPC's name for it.
        auth_context: gRPC's, whose certificate gRPC verified in the handshake.
    """
    address = format_peer(peer)
    certificates = list(auth_context.get("x509_pem_cert", ()))
    if not certificates:
        return Peer(address=address)
    try:
        certificate = x509.load_pem_x509_certificate(certificates[0])
    except _UNDECODABLE as error:
        return Peer(
            address=address, auth=AUTH_MTLS, detail=f"certificate cannot be decoded: {error}"
        )
    spiffe_id, detail = _find_spiffe_id(certificate)
    return Peer(
        address=address,
        auth=AUTH_MTLS,
        spiffe_id=spiffe_id,
        certificate_sha256=certificate.fingerprint(hashes.SHA256()),
        detail=detail,
    )


def is_spiffe_id(text: str) -> bool:
    """Whether the text is the SPIFFE ID of a workload: lower-case trust domain, a path, no more.

    Source: SPIFFE-ID section 2.
    """
    match = _SPIFFE_ID.fullmatch(text)
    return (
        match is not None
        and len(text) <= _SPIFFE_ID_BYTES_MAX
        and len(match[1]) <= _TRUST_DOMAIN_BYTES_MAX
        and not {".", ".."}.intersection(match[2].split("/"))
    )


def _find_spiffe_id(certificate: x509.Certificate) -> tuple[str | None, str | None]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except _UNDECODABLE as error:
        return None, f"extensions of the certificate cannot be decoded: {error}"
    if len(uris) != 1:
        return None, f"certificate has {len(uris)} URI SANs, an X.509-SVID has exactly one"
    if not is_spiffe_id(uris[0]):
        return None, f"URI SAN of the certificate is not a SPIFFE ID: {uris[0][:200]!r}"
    return uris[0], None
