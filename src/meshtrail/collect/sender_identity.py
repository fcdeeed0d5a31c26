"""Who a request is from, by what its connection and its head show. Never by its body."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from meshtrail.collect.peer import Peer, identify_peer

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Names in lower case, and values, in their order. They hold secrets: no diagnostic takes one."""


class Identify(Protocol):
    """Says who is at the other end."""

    def __call__(self, address: str, certificate_der: bytes | None, headers: Headers, /) -> Peer:
        """The peer.

        Args:
            address: as the socket saw it.
            certificate_der: that TLS verified; None without one.
            headers: of the request.

        Raises:
            UnauthenticatedError: it does not show what it has to.
        """
        ...


def identify_by_certificate(address: str, certificate_der: bytes | None, _headers: Headers) -> Peer:
    """The peer, as its certificate says."""
    if certificate_der is None:
        return Peer(address=address)
    pem = ssl.DER_cert_to_PEM_cert(certificate_der).encode()
    return identify_peer(address, {"x509_pem_cert": [pem]})
