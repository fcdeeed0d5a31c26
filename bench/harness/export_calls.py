"""Exports on their way: calls that take turns on several connections, over gRPC or over HTTP/1.1.

Each connection comes from an address of its own, because a collector bounds what it takes of one
sender at once.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bench.harness.http2_connection import EMPTY_ANSWER_BYTES, LOOPBACK, Http2Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.harness.exports import Exported

SOURCE_IP = "127.2.0.{}"
RECEIVE_BYTES = 64 << 10
HEAD_END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 "
LENGTH = b"content-length: "


class Outcome(NamedTuple):
    """What became of calls.

    Attributes:
        calls_count: all that were made.
        refused_count: those that did not succeed.
        partial_count: those of which some records were not taken.
    """

    calls_count: int
    refused_count: int
    partial_count: int


class Calls(Protocol):
    """Makes calls, a bounded number at once.

    Every method raises ConnectionError when the server is gone.
    """

    def wait_for_room(self) -> None:
        """Return when a call can be made."""
        ...

    def call(self, body: memoryview) -> None:
        """Make it; the bytes may be changed after a ``flush``."""
        ...

    def flush(self) -> None:
        """Hand all that is queued to the kernel."""
        ...

    def pause(self, seconds: float) -> None:
        """Flush, and do nothing for that long."""
        ...

    def finish(self, *, seconds_max: float) -> Outcome:
        """Return when every call is answered.

        Raises:
            TimeoutError: some are not in time.
        """
        ...


class GrpcCalls:
    """``Calls`` over gRPC: many at once on each connection.

    Args:
        port: of the server.
        exported: what is exported.
        connections_count: how many connections.
        in_flight: calls under way at most on each.
    """

    def __init__(
        self, port: int, exported: Exported, *, connections_count: int, in_flight: int
    ) -> None:
        self._connections = [
            Http2Connection(port, source_ip=source_ip) for source_ip in _ips(connections_count)
        ]
        self._turns = itertools.cycle(self._connections)
        self._next = next(self._turns)
        self._path = exported.grpc_path
        self._in_flight = in_flight

    def wait_for_room(self) -> None:
        """As of ``Calls``."""
        if self._next.open_count >= self._in_flight:
            self.flush()
            self._next.wait_for_room(streams_max=self._in_flight)

    def call(self, body: memoryview) -> None:
        """As of ``Calls``."""
        self._next.send(self._next.open_stream(self._path), body, is_last=True)
        self._next = next(self._turns)

    def flush(self) -> None:
        """As of ``Calls``."""
        for connection in self._connections:
            connection.flush()

    def pause(self, seconds: float) -> None:
        """As of ``Calls``."""
        self.flush()
        self._next.pause(seconds)

    def finish(self, *, seconds_max: float) -> Outcome:
        """As of ``Calls``."""
        answers: Counter[int] = Counter()
        for connection in self._connections:
            connection.wait_for_ends(seconds_max=seconds_max)
            answers += connection.answers
        taken_count, refused_count = answers[EMPTY_ANSWER_BYTES], answers[0]
        calls_count = answers.total()
        return Outcome(calls_count, refused_count, calls_count - refused_count - taken_count)


class HttpCalls:
    """``Calls`` over HTTP/1.1: one at a time on each of so many connections as calls may be."""

    def __init__(
        self, port: int, exported: Exported, *, connections_count: int, in_flight: int
    ) -> None:
        head = f"POST {exported.http_path} HTTP/1.1\r\nhost: {LOOPBACK}:{port}\r\n"
        self._head = f"{head}content-type: application/x-protobuf\r\ncontent-length: ".encode()
        self._idle: list[socket.socket] = []
        self._busy: dict[int, tuple[socket.socket, bytes]] = {}
        self._readable = select.poll()
        self._calls_count = self._refused_count = self._partial_count = 0
        for source_ip in _ips(connections_count):
            for _ in range(in_flight):
                connection = socket.create_connection(
                    (LOOPBACK, port), source_address=(source_ip, 0)
                )
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._readable.register(connection, select.POLLIN)
                self._idle.append(connection)

    def wait_for_room(self) -> None:
        """As of ``Calls``."""
        while not self._idle:
            self._receive()

    def call(self, body: memoryview) -> None:
        """As of ``Calls``."""
        connection = self._idle.pop()
        self._busy[connection.fileno()] = connection, b""
        self._calls_count += 1
        with contextlib.suppress(ConnectionError):  # what was answered before says more
            connection.sendall(b"".join((self._head, b"%d\r\n\r\n" % len(body), body)))

    def flush(self) -> None:
        """As of ``Calls``: nothing is queued."""

    def pause(self, seconds: float) -> None:
        """As of ``Calls``."""
        time.sleep(seconds)  # the pace of the load: what is due later must not be sent now

    def finish(self, *, seconds_max: float) -> Outcome:
        """As of ``Calls``."""
        deadline = time.monotonic() + seconds_max
        while self._busy:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self._busy)} exports are not answered")
            self._receive(seconds_max=seconds_max)
        return Outcome(self._calls_count, self._refused_count, self._partial_count)

    def _receive(self, *, seconds_max: float | None = None) -> None:
        """Wait for answers, and take in those that have come."""
        for number, _ in self._readable.poll(None if seconds_max is None else seconds_max * 1000):
            if number not in self._busy:
                raise ConnectionError("the server closed a connection that waited for nothing")
            connection, received = self._busy[number]
            data = connection.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionError("the server closed a connection before its answer")
            received += data
            if not self._take_answer(received):
                self._busy[number] = connection, received
                continue
            del self._busy[number]
            self._idle.append(connection)

    def _take_answer(self, received: bytes) -> bool:
        """Count an answer; False when it has not all come."""
        head, end, body = received.partition(HEAD_END)
        if not end:
            return False
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(LENGTH)]
        if len(body) < int(lengths[0].removeprefix(LENGTH)):
            return False
        if not head.startswith(OK):
            self._refused_count += 1
        elif body:
            self._partial_count += 1
        return True


def _ips(count: int) -> Iterator[str]:
    return (SOURCE_IP.format(number) for number in range(1, count + 1))
