"""Who a request is from, by what its connection and its head show. Never by its body."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from meshtrail.collect.peer import Peer


Headers: TypeAlias = Iterable[tuple[str | bytes, str | bytes]]
"""Names and values, in their order. They hold secrets: no diagnostic takes one."""


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
