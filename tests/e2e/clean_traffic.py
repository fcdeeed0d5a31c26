"""Traffic that ends in every ordinary way, none of which is a loss."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.e2e import wired_proxy as wired
from tests.e2e.wired_proxy import LOOPBACK
from tests.rig.recorder import free_port
from tests.rig.steady_load import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.lossy_mesh import Mesh, Proxy

RETRIED_COUNT = 5
DENIED_COUNT = 3
RESET_COUNT = 4
TCP_COUNT = 3


@dataclass
class Upstreams:
    """Applications behind a proxy.

    Attributes:
        flaky_port: refuses every other request.
        slow_port: answers once it may.
        echo_port: TCP.
        may_answer: whether the slow one may.
    """

    flaky_port: int
    slow_port: int
    echo_port: int
    may_answer: threading.Event

    def make_proxy(self, mesh: Mesh, name: str) -> CleanTraffic:
        """A proxy in front of them."""
        again = {"retry_on": "5xx", "num_retries": 2}
        tcp_port = free_port()
        proxy = mesh.make_proxy(
            name,
            routes=[
                {
                    "match": {"prefix": "/flaky"},
                    "route": {"cluster": "flaky", "retry_policy": again},
                },
                {"match": {"prefix": "/slow"}, "route": {"cluster": "slow", "timeout": "0s"}},
            ],
            clusters=[
                wired.cluster("flaky", self.flaky_port),
                wired.cluster("slow", self.slow_port),
                wired.cluster("echo", self.echo_port),
            ],
            tcp_port=tcp_port,
        )
        return CleanTraffic(proxy, self, tcp_port)


@dataclass
class CleanTraffic:
    """Callers of one proxy that is let alone."""

    proxy: Proxy
    upstreams: Upstreams
    tcp_port: int
    _slow: list[threading.Thread] = field(default_factory=list)

    def send_one_of_each(self) -> None:
        """Requests that are retried, denied, or given up by their caller; TCP."""
        port = self.proxy.port
        for _ in range(RETRIED_COUNT):
            assert wired.get_plain(port, "/flaky") == 200
        for _ in range(DENIED_COUNT):
            assert wired.get_plain(port, "/admin") == 403
        for _ in range(RESET_COUNT):
            with socket.create_connection((LOOPBACK, port)) as stream:
                stream.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
                wired.reset_on_close(stream)
        for _ in range(TCP_COUNT):
            assert wired.echo_plain(self.tcp_port, b"settle") == b"settle"
        # A request that was given up was not answered, and has a record all the same.
        requests = RETRIED_COUNT + DENIED_COUNT + RESET_COUNT
        self.proxy.count(requests=requests, connections=requests + TCP_COUNT)

    @contextlib.contextmanager
    def one_that_lasts(self) -> Iterator[None]:
        """A request that is answered when the block ends."""

        def call() -> None:
            with socket.create_connection((LOOPBACK, self.proxy.port)) as stream:
                requests = exchange(stream, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            self.proxy.count(requests=requests, connections=1)

        thread = threading.Thread(target=call)
        thread.start()
        try:
            yield
        finally:
            self.upstreams.may_answer.set()
            thread.join()


@contextlib.contextmanager
def running_upstreams() -> Iterator[Upstreams]:
    """Applications that behave as they like; gone when the block ends."""
    may_answer = threading.Event()
    turns = itertools.count()

    def flaky() -> bytes:
        return b"503 Busy" if next(turns) % 2 == 0 else b"200 OK"

    def slow() -> bytes:
        may_answer.wait()
        return b"200 OK"

    with (
        wired.running_upstream(wired.answering(flaky)) as flaky_port,
        wired.running_upstream(wired.answering(slow)) as slow_port,
        wired.running_echo_upstream() as echo_port,
    ):
        try:
            yield Upstreams(flaky_port, slow_port, echo_port, may_answer)
        finally:
            may_answer.set()
