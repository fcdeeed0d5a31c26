"""Requests to one listener until told to stop, and how many of them were answered."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

LOOPBACK = "127.0.0.1"
ANSWER_S_MAX = 10.0
REQUESTS_PER_CONNECTION = 25
RETRY_S = 0.05
_HEAD_END = b"\r\n\r\n"


class SteadyLoad:
    """Sends one request after the other, at a rate, some on each connection; from a thread.

    Use it as a context manager: it sends while the block runs.

    Attributes:
        answered_count: requests whose answer came in whole.
        connections_count: connections that carried any answer and are closed.
    """

    def __init__(self, port: int, *, rate: float) -> None:
        self.answered_count = 0
        self.connections_count = 0
        self._port = port
        self._pause_s = 1 / rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Send nothing more; returns once the last answer is in."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # A proxy that is gone answers nothing: what it left open does not count.
            with contextlib.suppress(OSError):
                self._use_connection()
            self._stopping.wait(RETRY_S)

    def _use_connection(self) -> None:
        with socket.create_connection((LOOPBACK, self._port), ANSWER_S_MAX) as stream:
            for _ in range(REQUESTS_PER_CONNECTION):
                if self._stopping.is_set():
                    break
                self.answered_count += exchange(stream, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                self._stopping.wait(self._pause_s)
        self.connections_count += 1


def exchange(stream: socket.socket, request: bytes) -> int:
    """Send a request and read its answer; 1.

    Raises:
        ConnectionError: it was not answered in whole.
    """
    stream.sendall(request)
    received = b""
    while _HEAD_END not in received:
        received += _read(stream)
    head, _, body = received.partition(_HEAD_END)
    [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(length.partition(b":")[2]) - len(body)
    while missing > 0:
        missing -= len(_read(stream))
    return 1


def _read(stream: socket.socket) -> bytes:
    data = stream.recv(4096)
    if not data:
        raise ConnectionError("the proxy hung up")
    return data
