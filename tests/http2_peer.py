"""The other end of an ``Http2Connection``, played by a test frame by frame."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench.harness import http2_frames as http2
from bench.harness.http2_connection import Http2Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

WAIT_S_MAX = 20.0
RECEIVE_BUFFER_BYTES = 4096
RESERVED_BIT = 1 << 31


class Peer:
    """A server that says and reads only what it is told to.

    Attributes:
        connection: the client, for another thread.
    """

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            # Small, so that a peer that does not read is felt after some ten thousand bytes.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self.connection = Http2Connection(listener.getsockname()[1])
            self._socket, _ = listener.accept()
        self._socket.settimeout(WAIT_S_MAX)
        self._received = b""
        self._frames: list[http2.Frame] = []
        self._client = ThreadPoolExecutor(1)

    def run(self, work: Callable[[], object]) -> Future[object]:
        """Let the client work in its thread."""
        return self._client.submit(work)

    def read_preface(self) -> None:
        """Take what every connection begins with."""
        while len(self._received) < len(http2.PREFACE):
            self._receive()
        assert self._received.startswith(http2.PREFACE)
        self._received = self._received[len(http2.PREFACE) :]

    def read_until(self, is_last: Callable[[http2.Frame], bool]) -> list[http2.Frame]:
        """The next frames, up to the first one of that kind."""
        read: list[http2.Frame] = []
        while not read or not is_last(read[-1]):
            while not self._frames:
                self._receive()
                _, self._frames, self._received = http2.decode_frames(self._received)
            read.append(self._frames.pop(0))
        return read

    def read_data(self, data_bytes: int) -> list[http2.Frame]:
        """The frames of data that come next and hold exactly so many bytes in all."""
        frames: list[http2.Frame] = []
        while (missing := data_bytes - sum(len(frame.payload) for frame in frames)) > 0:
            frames.append(self.read_until(is_data)[-1])
        assert not missing
        return frames

    def has_nothing_to_read(self) -> bool:
        """Whether nothing came, now and in the next moment."""
        self._socket.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            self._receive()
        self._socket.settimeout(WAIT_S_MAX)
        return not self._received and not self._frames

    def write(self, *frames: bytes) -> None:
        self._socket.sendall(b"".join(frames))

    def open_window(self, increment: int, *, stream: int = 0) -> None:
        """Take so many bytes more, on a stream or on the whole connection."""
        # The highest bits are reserved, and whoever receives them must not look at them.
        payload = (increment | RESERVED_BIT).to_bytes(4, "big")
        frame = http2.encode_frame(http2.WINDOW_UPDATE, payload, stream=stream | RESERVED_BIT)
        self.write(frame)

    def set(self, settings: dict[int, int]) -> None:
        self.write(http2.encode_frame(http2.SETTINGS, http2.encode_settings(settings)))

    def hang_up(self) -> None:
        self._socket.close()

    def close(self) -> None:
        # First the socket: a client that waits for this end must not wait for ever.
        self._socket.close()
        self._client.shutdown()
        self.connection.__exit__(None, None, None)

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        assert data, "the client closed the connection"
        self._received += data


@contextlib.contextmanager
def connected_peer() -> Iterator[Peer]:
    """A peer whose client has connected and said nothing yet."""
    peer = Peer()
    try:
        yield peer
    finally:
        peer.close()


def is_data(frame: http2.Frame) -> bool:
    return frame.frame_type == http2.DATA


def payload_of(frames: list[http2.Frame], *, stream: int) -> bytes:
    """The bytes of a stream's frames of data, one after the other."""
    return b"".join(frame.payload for frame in frames if frame.stream == stream)
