"""The load: requests over HTTP/1.1, bytes over TCP, and connections that must not come about.

What is sent follows from the arguments alone; what came back is returned, for a test to compare
with what the log holds.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

LOOPBACK = "127.0.0.1"
ANSWER_S_MAX = 30.0
RECEIVE_BYTES = 1 << 16
HEAD_END = b"\r\n\r\n"
BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names in lower case."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    host: str = "payments.shop.svc.cluster.local"

    def encode(self) -> bytes:
        """The request as HTTP/1.1 bytes."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in {"POST", "PUT", "PATCH"}:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join(lines).encode() + HEAD_END + self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a request."""

    request: Request
    status: int


def count_statuses(answers: Sequence[Answer]) -> Counter[tuple[str, int]]:
    """How many answers there are for each path and status."""
    return Counter((answer.request.path, answer.status) for answer in answers)


async def send_requests(
    requests: Sequence[Request], *, port: int, connections_count: int = 4, pipeline_count: int = 1
) -> list[Answer]:
    """Send every request once over n keep-alive connections; request i takes connection i mod n.

    Args:
        requests: what to send.
        port: of the listener on loopback.
        connections_count: connections at once.
        pipeline_count: requests that a connection sends before it waits for their answers.

    Returns:
        One answer for each request, connection by connection.

    Raises:
        ConnectionError: a connection ended before all its answers had come.
    """
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(
                _send_on_one(requests[first::connections_count], port=port, window=pipeline_count)
            )
            for first in range(connections_count)
        ]
    return [answer for task in running for answer in task.result()]


async def exchange_bytes(
    payload: bytes, *, port: int, context: ssl.SSLContext | None = None
) -> bytes:
    """Send ``payload`` over one connection and read as many bytes back.

    Returns:
        What came back; shorter than ``payload`` when the other side hung up or refused.
    """
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context)
    except OSError:
        return b""
    received = b""
    try:
        writer.write(payload)
        await writer.drain()
        received = await asyncio.wait_for(reader.readexactly(len(payload)), ANSWER_S_MAX)
    except asyncio.IncompleteReadError as error:
        received = error.partial
    except OSError:
        # With TLS 1.3 the refusal of a client certificate comes as an alert after the handshake.
        received = b""
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return received


async def _send_on_one(requests: Sequence[Request], *, port: int, window: int) -> list[Answer]:
    # Sockets rather than streams: half the time for each request, and the load generator shares
    # the machine with what it loads.
    loop = asyncio.get_running_loop()
    answers: list[Answer] = []
    if not requests:
        return answers
    with socket.socket() as connection:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(connection, (LOOPBACK, port))
        received = bytearray()
        for first in range(0, len(requests), window):
            batch = requests[first : first + window]
            await loop.sock_sendall(connection, b"".join(one.encode() for one in batch))
            for request in batch:
                while (status := _take_answer(received, request)) is None:
                    chunk = await asyncio.wait_for(
                        loop.sock_recv(connection, RECEIVE_BYTES), ANSWER_S_MAX
                    )
                    if not chunk:
                        raise ConnectionError(f"no answer to {request.method} {request.path}")
                    received += chunk
                answers.append(Answer(request, status))
    return answers


def _take_answer(received: bytearray, request: Request) -> int | None:
    """Cut one whole answer off the front of ``received``; None when it is not all there yet."""
    head_end = received.find(HEAD_END)
    if head_end < 0:
        return None
    lines = received[:head_end].decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ", 2)[1])
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    if "transfer-encoding" in fields:
        raise ValueError(f"answer to {request.path} has no content-length: {lines}")
    body_bytes = 0
    if request.method != "HEAD" and status not in BODILESS:
        body_bytes = int(fields.get("content-length", "0"))
    answer_bytes = head_end + len(HEAD_END) + body_bytes
    if len(received) < answer_bytes:
        return None
    del received[:answer_bytes]
    return status
