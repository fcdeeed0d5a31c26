"""Callers whose TLS handshake fails, each in its own way; and those that only look as if.

Each returns the port that it called from, by which its record is found.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import warnings
from typing import TYPE_CHECKING

from tests.e2e.wired_proxy import reset_on_close

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOOPBACK = "127.0.0.1"
ANSWER_S_MAX = 20.0
SERVER_NAME = "payments.shop"
CERTIFICATE, KEY_EXCHANGE = 11, 16
HANDSHAKE, APPLICATION_DATA = 22, 23
RECORD_HEAD_BYTES = 5
OPENSSL = shutil.which("openssl")


def client_context(
    certificate: Path | None,
    *,
    trusted: Path | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    is_name_checked: bool = False,
) -> ssl.SSLContext:
    """A TLS client that shows a certificate, or none.

    Args:
        certificate: certificate and key in one PEM file.
        trusted: who signs the server's; None takes any.
        newest: the newest version that it speaks.
        is_name_checked: whether the server must name ``SERVER_NAME``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = is_name_checked
    if trusted is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(str(trusted))
    if newest < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            # Python warns of these versions, which is why they must fail.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
    else:
        context.maximum_version = newest
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A TCP connection."""
    with socket.create_connection((LOOPBACK, port), ANSWER_S_MAX) as raw:
        yield raw


def port_of(connection: socket.socket) -> int:
    """The port that a connection was made from."""
    port: int = connection.getsockname()[1]
    return port


def speak(port: int, context: ssl.SSLContext, payload: bytes = b"settle") -> int:
    """Say something through TLS and wait for an answer, or for the refusal."""
    with connected(port) as raw:
        called_from = port_of(raw)
        # With TLS 1.3 the refusal of a client's certificate comes as an alert, afterwards.
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(raw, server_hostname=SERVER_NAME) as stream,
        ):
            stream.sendall(payload)
            stream.recv(4096)
    return called_from


def request_in_the_clear(port: int) -> int:
    """Send an HTTP request where TLS is spoken."""
    with contextlib.closing(
        http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_S_MAX)
    ) as connection:
        connection.connect()
        called_from = port_of(connection.sock)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/")
            connection.getresponse()
    return called_from


def send_bytes(port: int, payload: bytes) -> int:
    """Send bytes, wait until the other side hangs up."""
    with connected(port) as raw:
        raw.sendall(payload)
        drain(raw)
        return port_of(raw)


def drain(connection: socket.socket) -> None:
    """Read until the other side hangs up."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass


def hang_up(port: int, *, context: ssl.SSLContext, is_reset: bool) -> int:
    """Hang up when the server has answered the first message."""
    with connected(port) as raw:
        raw.sendall(Handshake(context).hello)
        raw.recv(65_536)
        if is_reset:
            reset_on_close(raw)
        else:
            # What is closed with something unread in it is reset, too.
            raw.shutdown(socket.SHUT_WR)
            drain(raw)
        return port_of(raw)


def send_alert(port: int, alert: int, *, context: ssl.SSLContext) -> int:
    """Answer the server's part of the handshake with a fatal alert, in the clear."""
    with connected(port) as raw:
        raw.sendall(Handshake(context).hello)
        raw.recv(65_536)
        raw.sendall(bytes([21, 3, 3, 0, 2, 2, alert]))
        drain(raw)
        return port_of(raw)


def show_without_key(port: int, *, context: ssl.SSLContext) -> int:
    """Show a certificate, and hang up in place of proving that one holds its key.

    The certificate is public, so anybody could do this.
    """
    handshake = Handshake(context)
    with connected(port) as raw:
        raw.sendall(handshake.hello)
        flight = b""
        while not flight:
            flight = handshake.answer(raw.recv(65_536))
        raw.sendall(handshake.shown_certificate(flight))
        raw.shutdown(socket.SHUT_WR)
        drain(raw)
        return port_of(raw)


def answer_late(port: int, *, context: ssl.SSLContext, wait: Callable[[], None]) -> int:
    """Answer the server's part of the handshake only when the wait is over."""
    handshake = Handshake(context)
    with connected(port) as raw:
        raw.sendall(handshake.hello)
        flight = b""
        while not flight:
            flight = handshake.answer(raw.recv(65_536))
        wait()
        raw.sendall(flight)
        drain(raw)
        return port_of(raw)


class Handshake:
    """A TLS client without a socket, after its first message.

    Attributes:
        hello: that message.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._stream = context.wrap_bio(self._incoming, self._outgoing, server_hostname=SERVER_NAME)
        self.hello = self.answer(b"")

    def answer(self, received: bytes) -> bytes:
        """What it sends when this comes in; nothing where it waits for more."""
        self._incoming.write(received)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._stream.do_handshake()
        return self._outgoing.read()

    def shown_certificate(self, flight: bytes) -> bytes:
        """The part of its answer that ends with its certificate, before it proves anything."""
        records = split_records(flight)
        if self._stream.version() == "TLSv1.3":
            # Encrypted; the first of them is the certificate.
            at = [record[0] for record in records].index(APPLICATION_DATA)
            return b"".join(records[: at + 1])
        messages = (CERTIFICATE, KEY_EXCHANGE)
        return b"".join(one for one in records if one[0] == HANDSHAKE and one[5] in messages)


def split_records(flight: bytes) -> list[bytes]:
    """The records of a flight of TLS messages."""
    records = []
    while flight:
        end = RECORD_HEAD_BYTES + int.from_bytes(flight[3:RECORD_HEAD_BYTES], "big")
        records.append(flight[:end])
        flight = flight[end:]
    return records


def refuse_with_openssl(port: int, *, trusted: Path, certificate: Path, called_from: int) -> int:
    """Have ``openssl s_client`` refuse the server's certificate, in TLS 1.2."""
    if OPENSSL is None:
        raise FileNotFoundError("openssl")
    command = [OPENSSL, "s_client", "-connect", f"{LOOPBACK}:{port}", "-tls1_2"]
    command += ["-bind", f"{LOOPBACK}:{called_from}", "-CAfile", str(trusted)]
    command += ["-verify_return_error", "-cert", str(certificate), "-key", str(certificate)]
    subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_S_MAX, check=False
    )
    return called_from
