"""A connection that a test can hold up or cut: loopback to loopback, as bytes come."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 1 << 14
RECEIVE_BUFFER_BYTES = 1 << 12
"""Little room, so that whoever sends soon notices that nobody reads."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Forwarder:
    """Forwards each connection that it takes to another port.

    Attributes:
        port: that it listens on, also after it was cut and opened again.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = self._listen(0)
        self.port: int = self._server.getsockname()[1]

    def stall(self) -> None:
        """Read nothing more, and keep the connections."""
        self._flowing.clear()

    def go_on(self) -> None:
        """Read on."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones."""
        # Without it the thread would go on to wait in accept, and the port stay open.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            for one in self._open:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._flowing.set()

    def open_again(self) -> None:
        """Take connections again."""
        self._server = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        server.bind((LOOPBACK, port))
        server.listen()
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()
        return server

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                try:
                    far = socket.create_connection((LOOPBACK, self._target_port))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._open |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self._flowing.wait()
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._lock:
            # The last of the two that pump this pair closes both.
            if {source, sink} <= self._open:
                self._open -= {source, sink}
            else:
                source.close()
                sink.close()


@contextlib.contextmanager
def running_forwarder(target_port: int) -> Iterator[Forwarder]:
    """A forwarder to a port; cut when the block ends."""
    forwarder = Forwarder(target_port)
    try:
        yield forwarder
    finally:
        forwarder.cut()
