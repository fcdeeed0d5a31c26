"""Who a request is from, by what its connection and its head show. Never by its body."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Protocol, TypeAlias

from meshtrail.collect.peer import Peer, identify_peer

Headers: TypeAlias = Iterable[tuple[str | bytes, str | bytes]]
"""Names and values, in their order. They hold secrets: no diagnostic takes one."""

_PEM_PREFIX = b"-----BEGIN"


class Identify(Protocol):
    """Says who is at the other end."""

    def __call__(
        self, address: str, certificate: bytes | None, headers: Headers, source: str, /
    ) -> Peer:
        """The peer.

        Args:
            address: of the peer, as the socket saw it.
            certificate: of the peer, DER or PEM, verified by TLS; None without one.
            headers: of the call or request.
            source: kind of telemetry that it wants to send: ``envoy-als`` or ``otlp``.

        Raises:
            UnauthenticatedError: it does not show what it has to.
        """
        ...


def identify_by_certificate(
    address: str, certificate: bytes | None, _headers: Headers, _source: str
) -> Peer:
    """The peer, as its certificate says."""
    if certificate is None:
        return Peer(address=address)
    if not certificate.startswith(_PEM_PREFIX):
        certificate = ssl.DER_cert_to_PEM_cert(certificate).encode()
    return identify_peer(address, {"x509_pem_cert": [certificate]})
