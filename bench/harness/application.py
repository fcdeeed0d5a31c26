"""The application behind a sidecar: answers each request the same time after it came.

    python -m bench.harness.application SERVICE_MS CA CHAIN KEY

Prints a JSON object with two ports: ``plain``, where a sidecar hands requests on, and ``tls``,
where the load asks without a sidecar, over the same mTLS. Serves until its standard input ends.

It waits as an application waits that asks others, for a time that never differs: what it takes is
not what is measured. ``select`` counts that wait in microseconds, ``epoll`` in milliseconds; so
``epoll`` watches the connections, and ``select`` watches ``epoll``.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import sys
import time
from collections import deque

from bench.harness.waking import collect_no_more_garbage, wake_on_time

LOOPBACK = "127.0.0.1"
HEAD_END = b"\r\n\r\n"
RECEIVE_BYTES = 16_384
HANDSHAKE_S_MAX = 10.0
BODY = b'{"item": "' + b"x" * 240 + b'"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
) + BODY


class Application:
    """One thread on all connections; requests have no body.

    Attributes:
        ports: of its two doors, by name.
    """

    def __init__(self, context: ssl.SSLContext, *, service_ns: int) -> None:
        self._service_ns = service_ns
        self._plain = socket.create_server((LOOPBACK, 0))
        self._tls = context.wrap_socket(
            socket.create_server((LOOPBACK, 0)), server_side=True, do_handshake_on_connect=False
        )
        self.ports = {
            "plain": self._plain.getsockname()[1],
            "tls": self._tls.getsockname()[1],
        }
        self._connections: dict[int, socket.socket] = {}
        self._received: dict[int, bytes] = {}
        # The wait is the same for all, so who came first is answered first.
        self._due: deque[tuple[int, int]] = deque()
        self._epoll = select.epoll()
        for door in (self._plain, self._tls):
            self._epoll.register(door, select.EPOLLIN)

    def serve_until_readable(self, stop: int) -> None:
        """Serve until the file descriptor ``stop`` has something to read, or has ended."""
        watched = [self._epoll.fileno(), stop]
        while True:
            timeout_s = None
            if self._due:
                timeout_s = max(self._due[0][0] - time.monotonic_ns(), 0) / 1e9
            readable, _, _ = select.select(watched, (), (), timeout_s)
            if stop in readable:
                return
            if readable:
                for number, _ in self._epoll.poll(0):
                    self._read(number)
            self._answer_due()

    def _read(self, number: int) -> None:
        if number == self._plain.fileno():
            self._accept(self._plain)
        elif number == self._tls.fileno():
            self._accept(self._tls)
        else:
            self._receive(number)

    def _accept(self, door: socket.socket) -> None:
        connection, _ = door.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if isinstance(connection, ssl.SSLSocket):
            # All of them are opened before the first request, so that this keeps nobody waiting.
            connection.settimeout(HANDSHAKE_S_MAX)
            connection.do_handshake()
        connection.setblocking(False)  # noqa: FBT003 - the library's signature
        self._connections[connection.fileno()] = connection
        self._received[connection.fileno()] = b""
        self._epoll.register(connection, select.EPOLLIN)

    def _receive(self, number: int) -> None:
        try:
            chunk = self._connections[number].recv(RECEIVE_BYTES)
        except ssl.SSLWantReadError:
            return
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            self._forget(number)
            return
        received = self._received[number] + chunk
        due_ns = time.monotonic_ns() + self._service_ns
        self._due.extend([(due_ns, number)] * received.count(HEAD_END))
        self._received[number] = received.rpartition(HEAD_END)[2]

    def _answer_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic_ns():
            _, number = self._due.popleft()
            try:
                self._connections[number].send(ANSWER)
            except (BrokenPipeError, ConnectionResetError):
                self._forget(number)

    def _forget(self, number: int) -> None:
        self._epoll.unregister(number)
        self._connections.pop(number).close()
        del self._received[number]
        self._due = deque(item for item in self._due if item[1] != number)


def main() -> None:
    """Serve with the given SVID, to whoever shows one of the authority."""
    service_ms, authority, chain, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority)
    context.load_cert_chain(chain, key)
    application = Application(context, service_ns=round(float(service_ms) * 1e6))
    print(json.dumps(application.ports), flush=True)
    wake_on_time()
    collect_no_more_garbage()
    application.serve_until_readable(sys.stdin.fileno())


if __name__ == "__main__":
    main()
