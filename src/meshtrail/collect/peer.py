"""Who is at the other end of a connection, as the TLS handshake proved it.

Nothing here comes from a payload. SPIFFE: an X.509-SVID has exactly one URI SAN; a certificate with
none or several authenticates its holder by its fingerprint alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTH_MTLS: Final = "mtls"
AUTH_XFCC: Final = "xfcc"
AUTH_TOKEN: Final = "token"  # noqa: S105 - the name of a way, not a secret
AUTH_SIGNATURE: Final = "signature"
AUTH_NONE: Final = "none"

# What cryptography raises for certificates that a lax authority signed.
_UNDECODABLE = (
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_PEM_PREFIX = b"-----BEGIN"
_SPIFFE_ID_BYTES_MAX = 2_048
_TRUST_DOMAIN_BYTES_MAX = 255
_SPIFFE_ID = re.compile(r"spiffe://([a-z0-9._-]+)((?:/[A-Za-z0-9._-]+)+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a connection.

    Attributes:
        address: as the socket saw it.
        auth: ``mtls``, ``xfcc``, ``token``, ``signature`` or ``none``.
        spiffe_id: of its certificate, when that is an X.509-SVID.
        certificate_sha256: of its certificate, DER.
        token: name of the token that it showed.
        token_id: of that token, by which it is found again.
        reporters: patterns of the names that this token may claim; None without a token.
        detail: why there is no SPIFFE ID although there is a certificate.
    """

    address: str
    auth: str = AUTH_NONE
    spiffe_id: str | None = None
    certificate_sha256: bytes | None = None
    token: str | None = None
    token_id: str | None = None
    reporters: tuple[str, ...] | None = None
    detail: str | None = None


def identify_certificate(address: str, certificate: bytes) -> Peer:
    """The peer that showed a certificate, which TLS verified in the handshake.

    Args:
        address: of the peer, as people write it.
        certificate: DER or PEM.
    """
    try:
        if certificate.startswith(_PEM_PREFIX):
            parsed = x509.load_pem_x509_certificate(certificate)
        else:
            parsed = x509.load_der_x509_certificate(certificate)
    except _UNDECODABLE as error:
        return Peer(
            address=address, auth=AUTH_MTLS, detail=f"certificate cannot be decoded: {error}"
        )
    spiffe_id, detail = _find_spiffe_id(parsed)
    return Peer(
        address=address,
        auth=AUTH_MTLS,
        spiffe_id=spiffe_id,
        certificate_sha256=parsed.fingerprint(hashes.SHA256()),
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


def choose_spiffe_id(uris: Sequence[str], *, what: str) -> tuple[str | None, str | None]:
    """The SPIFFE ID of a certificate with these URI SANs, or None and why it has none."""
    if len(uris) != 1:
        return None, f"{what} has {len(uris)} URI SANs, an X.509-SVID has exactly one"
    if not is_spiffe_id(uris[0]):
        return None, f"URI SAN of {what} is not a SPIFFE ID: {uris[0][:200]!r}"
    return uris[0], None


def _find_spiffe_id(certificate: x509.Certificate) -> tuple[str | None, str | None]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except _UNDECODABLE as error:
        return None, f"extensions of the certificate cannot be decoded: {error}"
    return choose_spiffe_id(uris, what="the certificate")
