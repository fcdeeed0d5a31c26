"""Upstreams whose TLS a proxy cannot agree with, each for its own reason."""

from __future__ import annotations

import contextlib
import ssl
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.e2e import wired_proxy as wired
from tests.rig.recorder import free_port

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.e2e.odd_certificates import Workshop

PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
LEDGER = "spiffe://cluster.local/ns/shop/sa/ledger"
ROGUE = "spiffe://cluster.local/ns/dev/sa/rogue"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Upstream:
    """An upstream, and what must become of those who call it.

    Attributes:
        serve: what it does with a connection; None where nobody listens.
        failure: ``tls_failure`` of a request to it.
        callee: ``dst_spiffe_id`` and its trust.
    """

    serve: Callable[[socket.socket], None] | None
    failure: str | None
    callee: tuple[str | None, str | None] = (None, None)

    def running(self) -> AbstractContextManager[int]:
        """Run it; yields its port."""
        if self.serve is None:
            return contextlib.nullcontext(free_port())
        return wired.running_upstream(self.serve)


def make_upstreams(mesh: Workshop, elsewhere: Workshop) -> dict[str, Upstream]:
    """Everything that is tried, by name; proxies want ``PAYMENTS`` of the mesh."""

    def showing(certificate: Path, failure: str) -> Upstream:
        return Upstream(partial(_serve_tls, context=_context(certificate)), failure)

    good = mesh.issue(PAYMENTS)
    attested = (PAYMENTS, "attested")
    of_somebody = partial(_serve_tls, context=_context(good, callers=elsewhere))
    until_1_2 = _context(good, callers=elsewhere, newest=ssl.TLSVersion.TLSv1_2)
    until_1_1 = _context(good, newest=ssl.TLSVersion.TLSv1_1)
    return {
        "good": Upstream(partial(_serve_tls, context=_context(good)), None, attested),
        "of-several-names": Upstream(
            partial(_serve_tls, context=_context(mesh.issue(PAYMENTS, LEDGER))), None
        ),
        "expired": showing(mesh.issue(PAYMENTS, days=(-9, -1)), "expired"),
        "not-yet-valid": showing(mesh.issue(PAYMENTS, days=(1, 9)), "verification_failed"),
        "of-another-ca": showing(elsewhere.issue(PAYMENTS), "unknown_ca"),
        "self-signed": showing(mesh.issue(PAYMENTS, is_self_signed=True), "unknown_ca"),
        "somebody-else": showing(mesh.issue(ROGUE), "san_mismatch"),
        "in-the-clear": Upstream(_speak_plainly, "plaintext"),
        "of-old-tls": Upstream(partial(_serve_tls, context=until_1_1), "version"),
        "resetting": Upstream(_reset, "other"),
        "refusing": Upstream(partial(_serve_tls, context=until_1_2), "unknown_ca"),
        # In TLS 1.3 the caller is through with its handshake before it is refused.
        "refusing-late": Upstream(of_somebody, None, attested),
        "absent": Upstream(None, None),
    }


def _context(
    certificate: Path, *, callers: Workshop | None = None, newest: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if callers is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(str(callers.bundle))
    if newest is not None:
        with warnings.catch_warnings():
            # Python warns of old versions, which is why they must fail.
            warnings.simplefilter("ignore", DeprecationWarning)
            if newest < ssl.TLSVersion.TLSv1_2:
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = newest
    return context


def _serve_tls(connection: socket.socket, *, context: ssl.SSLContext) -> None:
    """Answer requests, and send anything else back."""
    with context.wrap_socket(connection, server_side=True) as stream:
        while data := stream.recv(4096):
            stream.sendall(ANSWER if b"HTTP/1.1" in data else data)


def _speak_plainly(connection: socket.socket) -> None:
    connection.sendall(b"220 no TLS here\r\n")
    while connection.recv(4096):
        pass


def _reset(connection: socket.socket) -> None:
    connection.recv(4096)
    wired.reset_on_close(connection)
    connection.close()
