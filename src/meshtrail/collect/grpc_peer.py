"""Who is at the other end of a gRPC call: address, certificate and head, as gRPC has them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from meshtrail.collect.address import format_peer

if TYPE_CHECKING:
    import grpc.aio

    from meshtrail.collect.peer import Peer
    from meshtrail.collect.sender_identity import Headers, Identify


def identify_caller(identify: Identify, context: grpc.aio.ServicerContext[bytes, bytes]) -> Peer:
    """The peer of a call, whose certificate gRPC verified in the handshake.

    Raises:
        UnauthenticatedError: it does not show what it has to.
    """
    return identify(format_peer(context.peer()), _certificate_der(context), _headers(context))


def _certificate_der(context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes | None:
    pems = list(context.auth_context().get("x509_pem_cert", ()))
    return ssl.PEM_cert_to_DER_cert(pems[0].decode("latin-1")) if pems else None


def _headers(context: grpc.aio.ServicerContext[bytes, bytes]) -> Headers:
    return [
        (name, value.decode("latin-1") if isinstance(value, bytes) else value)
        for name, value in context.invocation_metadata() or ()
    ]
