"""One plaintext HTTP/2 connection to this machine that sends gRPC messages over many streams.

Own code, because the load shares two cores with what is measured, and what really sends it is
Envoy, which is C++. A message of 16 KB costs gRPC's Python client 60 to 160 us of CPU, nearly all
of it in asyncio and around each call; the framing alone costs 26 us with the library ``h2``, and
here 4 us, to which the kernel adds 5. Only what sending needs is here: one thread, no TLS, and of
what the server answers nothing but that a stream has ended, and how many bytes it said before.

Messages are queued as views, not copied; the kernel copies them when they are flushed. So whoever
changes the bytes of a message afterwards must call ``flush`` before.
Source: RFC 9113 sections 5.2 and 6.9 for the windows, gRPC's "PROTOCOL-HTTP2".
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bench.harness import http2_frames as http2

if TYPE_CHECKING:
    from types import TracebackType

LOOPBACK = "127.0.0.1"
FLUSH_BYTES = 128 << 10
"""Written at once: a call for each message would cost as much as all of the framing."""
BUFFERS_MAX = 512
"""In one ``sendmsg``, where the kernel takes at most 1,024."""
RECEIVE_BYTES = 64 << 10

_MESSAGE_PREFIX = struct.Struct(">BI")
_PREFIX_BYTES = _MESSAGE_PREFIX.size
EMPTY_ANSWER_BYTES = _PREFIX_BYTES
"""What comes on a stream whose answer is a message without a field."""
_UNCOMPRESSED = 0


@dataclass(slots=True)
class Stream:
    """One stream of the connection.

    Attributes:
        number: odd, as HTTP/2 wants it of a client.
        window: how many bytes the server still takes; below 0 when it has lowered its setting.
        is_finished: whether our last frame was queued.
        has_ended: whether the server's last frame came.
        answer_bytes: what the server answered so far, with the prefix of its message.
    """

    number: int
    window: int
    is_finished: bool = False
    has_ended: bool = False
    answer_bytes: int = 0


class Http2Connection:
    """Is connected once it is made; leaving its context closes it.

    Every method raises ConnectionError when the server is gone, has sent the connection away, or
    has reset or ended a stream before that stream's last message.

    Attributes:
        answers: how many streams have ended, by the bytes of what was answered. A call that was
            refused ends without a message, its status being in the trailers.
    """

    def __init__(self, port: int, *, source_ip: str = LOOPBACK) -> None:
        """Connect.

        Args:
            port: of the server.
            source_ip: of 127.0.0.0/8, where the connection comes from.
        """
        self._authority = f"{LOOPBACK}:{port}"
        self._socket = socket.create_connection((LOOPBACK, port), source_address=(source_ip, 0))
        # The end of a burst must not wait for the acknowledgement of its beginning.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(0)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._writable.register(self._socket, select.POLLOUT)
        self.answers: Counter[int] = Counter()
        self._streams: dict[int, Stream] = {}
        self._opened_count = 0
        self._heads: dict[str, bytes] = {}
        self._answered_bytes = 0
        self._window = http2.WINDOW_BYTES_DEFAULT
        self._stream_window = http2.WINDOW_BYTES_DEFAULT
        self._frame_bytes_max = http2.FRAME_BYTES_MAX_DEFAULT
        self._received = b""
        settings = http2.encode_settings({http2.ENABLE_PUSH: 0})
        self._queued: list[bytes | memoryview] = [
            http2.PREFACE + http2.encode_frame(http2.SETTINGS, settings)
        ]
        self._queued_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    @property
    def open_count(self) -> int:
        """Streams that the server has not ended."""
        return len(self._streams)

    def open_stream(self, path: str) -> Stream:
        """Call a method, whose path it is; messages can be sent at once."""
        stream = Stream(2 * self._opened_count + 1, self._stream_window)
        self._opened_count += 1
        self._streams[stream.number] = stream
        self._queued.append(
            http2.encode_frame(
                http2.HEADERS,
                self._headers(path),
                stream=stream.number,
                flags=http2.END_HEADERS,
            )
        )
        return stream

    def send(self, stream: Stream, message: memoryview, *, is_last: bool = False) -> None:
        """Queue a message, and return when all of it is queued or written.

        Waits, without using CPU, for as long as the server takes nothing on this stream, whatever
        it would take on others.

        Args:
            stream: where.
            message: its bytes, without a prefix.
            is_last: whether no other follows.
        """
        prefix = _MESSAGE_PREFIX.pack(_UNCOMPRESSED, len(message))
        at, end = -_PREFIX_BYTES, len(message)
        while at < end:
            size = min(end - at, self._frame_bytes_max, stream.window, self._window)
            if size <= 0:
                self._wait_for_window(stream)
                continue
            after = at + size
            stream.is_finished = is_last and after == end
            flags = http2.END_STREAM if stream.is_finished else 0
            head = http2.encode_head(http2.DATA, size, stream.number, flags)
            if at < 0:
                head += prefix[at:] if after >= 0 else prefix[at:after]
            self._queued.append(head)
            if after > 0:
                self._queued.append(message[max(at, 0) : after])
            stream.window -= size
            self._window -= size
            self._queued_bytes += size
            at = after
        if self._queued_bytes >= FLUSH_BYTES or len(self._queued) >= BUFFERS_MAX:
            self.flush()
            self._receive()

    def finish_stream(self, stream: Stream) -> None:
        """Say that no message follows; the server ends the stream when it has taken them all."""
        stream.is_finished = True
        last = http2.encode_frame(http2.DATA, stream=stream.number, flags=http2.END_STREAM)
        self._queued.append(last)

    def flush(self) -> None:
        """Hand all that is queued to the kernel; waits for as long as that takes nothing."""
        queued = self._queued
        while queued:
            try:
                written = self._socket.sendmsg(queued[:BUFFERS_MAX])
            except BlockingIOError:
                # What the server says meanwhile can wait: an answer would stand behind the queue.
                self._writable.poll()
            except ConnectionError:
                self._receive()  # for the reason, if the server gave one
                raise
            else:
                _drop(queued, written)
        self._queued_bytes = 0

    def pause(self, seconds: float) -> None:
        """Flush, do nothing for that long, and then take in what the server has said."""
        self.flush()
        time.sleep(seconds)  # the pace of the load: what is due later must not be sent now
        self._receive()

    def wait_for_room(self, *, streams_max: int) -> None:
        """Return when fewer streams than that have not ended; waits without using CPU."""
        while len(self._streams) >= streams_max:
            self.flush()
            self._readable.poll()
            self._receive()

    def wait_for_ends(self, *, seconds_max: float) -> None:
        """Flush, and return when the server has ended every stream.

        Raises:
            TimeoutError: some have not ended in time.
        """
        self.flush()
        deadline = time.monotonic() + seconds_max
        while self._streams:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._readable.poll(left_s * 1000):
                raise TimeoutError(
                    f"{len(self._streams)} of {self._opened_count} streams have not ended "
                    f"{seconds_max} s after their last message"
                )
            self._receive()
            self.flush()

    def _headers(self, path: str) -> bytes:
        """The header block of a call."""
        if path not in self._heads:
            headers = [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            ]
            self._heads[path] = http2.encode_headers(headers)
        return self._heads[path]

    def _wait_for_window(self, stream: Stream) -> None:
        while stream.window <= 0 or self._window <= 0:
            # Answers too: the server may wait for one before it opens a window.
            self.flush()
            self._readable.poll()
            self._receive()

    def _receive(self) -> None:
        """Take in what has come, without waiting; answers are queued."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError(f"the server at {self._authority} closed the connection")
        increments, frames, self._received = http2.decode_frames(self._received + data)
        streams = self._streams
        for number, increment in increments:
            if not number:
                self._window += increment
            elif (stream := streams.get(number)) is not None:  # else it has ended meanwhile
                stream.window += increment
        for frame in frames:
            self._take(frame)

    def _take(self, frame: http2.Frame) -> None:
        is_ack = bool(frame.flags & http2.ACK)
        if frame.frame_type == http2.SETTINGS and not is_ack:
            self._apply(http2.decode_settings(frame.payload))
            self._queued.append(http2.encode_frame(http2.SETTINGS, flags=http2.ACK))
        elif frame.frame_type == http2.PING and not is_ack:
            self._queued.append(http2.encode_frame(http2.PING, frame.payload, flags=http2.ACK))
        elif frame.frame_type in {http2.HEADERS, http2.DATA}:
            self._take_answer(frame)
        elif frame.frame_type == http2.RST_STREAM:
            reason = http2.describe_reset(frame.payload)
            raise ConnectionError(f"the server reset stream {frame.stream}: {reason}")
        elif frame.frame_type == http2.GOAWAY:
            reason = http2.describe_goaway(frame.payload)
            raise ConnectionError(f"the server sent the connection away: {reason}")

    def _take_answer(self, frame: http2.Frame) -> None:
        stream = self._streams[frame.stream]
        if frame.frame_type == http2.DATA and frame.payload:
            stream.answer_bytes += len(frame.payload)
            self._answered_bytes += len(frame.payload)
            if self._answered_bytes > http2.WINDOW_BYTES_DEFAULT // 2:
                increment = http2.encode_increment(self._answered_bytes)
                self._queued.append(http2.encode_frame(http2.WINDOW_UPDATE, increment))
                self._answered_bytes = 0
        if frame.flags & http2.END_STREAM:
            self._end(stream)

    def _apply(self, settings: dict[int, int]) -> None:
        self._frame_bytes_max = settings.get(http2.MAX_FRAME_SIZE, self._frame_bytes_max)
        stream_window = settings.get(http2.INITIAL_WINDOW_SIZE, self._stream_window)
        # The setting is of every stream, also of those that have used up a part of it.
        for stream in self._streams.values():
            stream.window += stream_window - self._stream_window
        self._stream_window = stream_window

    def _end(self, stream: Stream) -> None:
        stream.has_ended = True
        # Not kept, or a connection with a stream for each message would grow without end.
        del self._streams[stream.number]
        self.answers[stream.answer_bytes] += 1
        if not stream.is_finished:
            raise ConnectionError(
                f"the server ended stream {stream.number} before its last message"
            )


def _drop(queued: list[bytes | memoryview], written: int) -> None:
    """Take the bytes that were written off the front of the queue."""
    count = 0
    for buffer in queued:
        if written < len(buffer):
            break
        written -= len(buffer)
        count += 1
    del queued[:count]
    if written:
        queued[0] = memoryview(queued[0])[written:]
