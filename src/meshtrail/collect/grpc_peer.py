"""Who is at the other end of a gRPC call: address, certificate and head, as gRPC has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.collect.address import format_peer

if TYPE_CHECKING:
    import grpc.aio

    from meshtrail.collect.authenticator import Identify
    from meshtrail.collect.peer import Peer


def identify_caller(
    identify: Identify, context: grpc.aio.ServicerContext[bytes, bytes], *, source: str
) -> Peer:
    """The peer of a call, whose certificate gRPC verified in the handshake.

    Raises:
        UnauthenticatedError: it does not show what it has to.
    """
    certificate = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    headers = context.invocation_metadata() or ()
    return identify(format_peer(context.peer()), certificate, headers, source)
