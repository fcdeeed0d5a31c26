"""Sends requests at a fixed rate, whatever comes back: a process of its own.

    python -m bench.harness.open_loop PORT OUT [--rate R] [--seconds S] [--warm-up-s S] …

Open loop: a request is due at its place in the schedule, whether or not earlier ones were answered,
and its latency counts from then. A request that is sent late, or that waits until a connection is
free, has waited; nothing that stalls the load can hide what the stall cost (no coordinated
omission).

First sends one request over a connection of its own, which it closes: what a sidecar opens for its
first records then stands before the load comes. Prints ``ready`` and waits for a line on standard
input; prints ``warm`` when the warm-up has been sent and, at the end, a JSON object. The times of
every measured request go to OUT: int64[2, n], how late each was sent and how long it took, in ns.

One thread on sockets and ``select``: of the waits that Python has, it alone counts in microseconds
(``epoll``, and so every event loop, in milliseconds).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random  # noqa: TID251 - seeded: the ids of a run can be made again
import select
import socket
import ssl
import sys
import time
import uuid
from array import array
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness.waking import collect_no_more_garbage, wake_on_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOPBACK = "127.0.0.1"
HEAD_END = b"\r\n\r\n"
LENGTH_NAME = b"content-length:"
STATUS_OK = b"HTTP/1.1 200 "
RECEIVE_BYTES = 16_384
ANSWER_S_MAX = 30.0
START_IN_NS = 20_000_000
"""Between the last preparation and the first request."""
PATHS_COUNT = 5_000
USER_AGENT = "Go-http-client/1.1"


def make_schedule(*, rate: float, seconds: float) -> list[int]:
    """When each request is due: ns after the start, evenly spaced, each rounded by itself."""
    return [round(place / rate * 1e9) for place in range(round(rate * seconds))]


def make_requests(count: int, *, label: str, seed: int) -> list[bytes]:
    """GET requests below ``/label/``, with a request id and a trace id that no other has."""
    rng = random.Random(f"{seed} {label}")  # noqa: S311 - load, not secrets
    return [
        (
            f"GET /{label}/items/{rng.randrange(PATHS_COUNT):07d}?page={place % 50} HTTP/1.1\r\n"
            "host: payments.shop.svc.cluster.local\r\n"
            f"user-agent: {USER_AGENT}\r\n"
            f"x-request-id: {uuid.UUID(int=rng.getrandbits(128), version=4)}\r\n"
            f"traceparent: 00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-01\r\n\r\n"
        ).encode()
        for place in range(count)
    ]


def answer_bytes(received: bytes) -> int:
    """Length of the whole answer that ``received`` begins with; 0 while its head is not all there.

    Raises:
        ConnectionError: it is not a 200, or says no length.
    """
    head_end = received.find(HEAD_END)
    if head_end < 0:
        return 0
    head = received[:head_end].lower()
    at = head.find(LENGTH_NAME)
    if not received.startswith(STATUS_OK) or at < 0:
        raise ConnectionError(f"want a 200 with its length, got {received[:head_end]!r}")
    length = head[at + len(LENGTH_NAME) :].partition(b"\r\n")[0]
    return head_end + len(HEAD_END) + int(length)


class Load:
    """Requests over a pool of keep-alive connections, one at a time on each.

    Attributes:
        late_ns: how long after it was due each request was handed to its connection.
        latency_ns: from when it was due until the last byte of its answer was read.
        waited_count: requests that were due while every connection was busy.
    """

    def __init__(self, connections: Sequence[socket.socket]) -> None:
        self.late_ns = array("q")
        self.latency_ns = array("q")
        self.waited_count = 0
        self._free = deque(connections)
        self._busy: dict[socket.socket, int] = {}
        self._received: dict[socket.socket, bytes] = {}

    def run(
        self,
        requests: Sequence[bytes],
        due_ns: Sequence[int],
        *,
        warm_count: int = 0,
        on_warm: Callable[[], None] = lambda: None,
    ) -> None:
        """Send each request when it is due and read every answer.

        Args:
            requests: what to send.
            due_ns: when, ascending, after a start that this call chooses.
            warm_count: requests at the front that belong to the warm-up.
            on_warm: called once, when that many have been sent.

        Raises:
            ConnectionError: a connection ended, or an answer is not a 200.
            TimeoutError: an answer did not come in time.
        """
        count = len(requests)
        self.late_ns = array("q", bytes(8 * count))
        self.latency_ns = array("q", bytes(8 * count))
        started_ns = time.monotonic_ns() + START_IN_NS
        place = waited_until = 0
        while place < count or self._busy:
            ahead_ns = due_ns[place] + started_ns - time.monotonic_ns() if place < count else 0
            if place < count and ahead_ns <= 0:
                if self._free:
                    self._send(place, requests[place], due_ns[place] + started_ns)
                    place += 1
                    if place == warm_count:
                        on_warm()
                    continue
                if waited_until <= place:
                    self.waited_count += 1
                    waited_until = place + 1
            is_idle = place < count and ahead_ns > 0
            timeout_s = ahead_ns / 1e9 if is_idle else ANSWER_S_MAX
            readable, _, _ = select.select(list(self._busy), (), (), timeout_s)
            if not readable and not is_idle:
                raise TimeoutError(f"{len(self._busy)} answers did not come in {ANSWER_S_MAX} s")
            for connection in readable:
                self._receive(connection, due_ns, started_ns)

    def _send(self, place: int, request: bytes, due_ns: int) -> None:
        connection = self._free.popleft()
        self.late_ns[place] = time.monotonic_ns() - due_ns
        # A request is far below any socket buffer, and the connection has none under way.
        if connection.send(request) != len(request):
            raise ConnectionError("a request of a few hundred bytes was not taken whole")
        self._busy[connection] = place

    def _receive(self, connection: socket.socket, due_ns: Sequence[int], started_ns: int) -> None:
        try:
            chunk = connection.recv(RECEIVE_BYTES)
        except ssl.SSLWantReadError:
            return  # a session ticket, or a part of a TLS record; one holds RECEIVE_BYTES at most
        if not chunk:
            raise ConnectionError("a connection ended before its answer had come")
        received = self._received.pop(connection, b"") + chunk
        wanted = answer_bytes(received)
        if not wanted or len(received) < wanted:
            self._received[connection] = received
            return
        if len(received) > wanted:
            raise ConnectionError(f"{len(received) - wanted} bytes came behind an answer")
        place = self._busy.pop(connection)
        self.latency_ns[place] = time.monotonic_ns() - due_ns[place] - started_ns
        self._free.append(connection)


def open_connection(port: int, context: ssl.SSLContext | None) -> socket.socket:
    """A connection to loopback, its TLS handshake done; it does not block from then on."""
    connection = socket.create_connection((LOOPBACK, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is not None:
        connection = context.wrap_socket(connection)
    connection.setblocking(False)  # noqa: FBT003 - the library's signature
    return connection


def make_context(svid: Sequence[str] | None) -> ssl.SSLContext | None:
    """The TLS of a workload that shows its SVID, or None to speak in the clear.

    Args:
        svid: paths of the authority's bundle, the load's own certificate and its private key.
    """
    if svid is None:
        return None
    authority, chain, key = svid
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False  # SPIFFE peers have no host names
    context.load_cert_chain(chain, key)
    return context


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", type=float, default=500.0, help="requests/s")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured")
    parser.add_argument("--warm-up-s", type=float, default=2.0, help="before, not measured")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--label", default="run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--svid",
        nargs=3,
        metavar=("CA", "CHAIN", "KEY"),
        help="speak mTLS: the server's authority, the load's own certificate and private key",
    )
    return parser.parse_args()


def main() -> None:
    """Connect, send on schedule, and write down every time."""
    options = parse_options()
    warm_count = round(options.rate * options.warm_up_s)
    due_ns = make_schedule(rate=options.rate, seconds=options.warm_up_s + options.seconds)
    first, *requests = make_requests(1 + len(due_ns), label=options.label, seed=options.seed)
    context = make_context(options.svid)
    wake_on_time()
    with open_connection(options.port, context) as connection:
        Load([connection]).run([first], [0])
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(open_connection(options.port, context))
            for _ in range(options.connections)
        ]
        print("ready", flush=True)
        sys.stdin.readline()
        load = Load(connections)
        collect_no_more_garbage()
        started_cpu_s = time.process_time()
        load.run(
            requests,
            due_ns,
            warm_count=warm_count,
            on_warm=lambda: print("warm", flush=True),
        )
        cpu_s = time.process_time() - started_cpu_s
    with options.out.open("wb") as out:
        load.late_ns[warm_count:].tofile(out)
        load.latency_ns[warm_count:].tofile(out)
    report: dict[str, Any] = {
        "requests_count": 1 + len(requests),
        "connections_count": 1 + len(connections),
        "waited_for_connection_count": load.waited_count,
        "cpu_us_per_request": round(cpu_s / len(requests) * 1e6, 1),
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
