"""The load of the latency benchmark keeps its schedule, and hides nothing of a server's stall."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bench.harness.open_loop import LOOPBACK, Load, make_requests, make_schedule, open_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
RATE = 200
HELD_S = 0.3
HELD_COUNT = 20
HELD_S_MAX = 10.0


class Server:
    """Answers each request of each connection as it is told; a thread for each."""

    def __init__(self, answer: Callable[[], bytes]) -> None:
        self._answer = answer
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        # A shutdown wakes the thread that waits in accept; a close does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection, thread in zip(self._connections, self._threads[1:], strict=True):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(4096):
                answer = self._answer()
                # In two pieces, so that an answer also comes when half of it is there.
                connection.sendall(answer[:20])
                connection.sendall(answer[20:])
                if not answer:
                    connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def running_load(answer: Callable[[], bytes], *, connections_count: int) -> Iterator[Load]:
    with contextlib.ExitStack() as stack:
        server = Server(answer)
        stack.callback(server.close)
        yield Load(
            [
                stack.enter_context(open_connection(server.port, None))
                for _ in range(connections_count)
            ]
        )


def run(load: Load, *, seconds: float) -> list[int]:
    """Send for so long, without a warm-up; when each request was due."""
    due_ns = make_schedule(rate=RATE, seconds=seconds)
    requests = make_requests(len(due_ns), label="run", seed=1)
    load.run(requests, due_ns)
    return due_ns


def test_load_goes_on_sending_while_no_answer_comes() -> None:
    # Answers are held until so many requests wait at once. A load that waits for an answer before
    # it sends more would never get there.
    is_enough = threading.Event()
    arrivals = itertools.count(1)
    held: list[bool] = []

    def answer() -> bytes:
        if next(arrivals) == HELD_COUNT:
            is_enough.set()
        held.append(is_enough.wait(HELD_S_MAX))
        return ANSWER

    with running_load(answer, connections_count=2 * HELD_COUNT) as load:
        due_ns = run(load, seconds=0.5)
    assert held == [True] * len(due_ns)
    assert min(load.late_ns) >= 0
    assert all(late < took for late, took in zip(load.late_ns, load.latency_ns, strict=True))


def test_stall_is_in_the_latency_of_every_request_that_was_due_meanwhile() -> None:
    is_first = True

    def answer() -> bytes:
        nonlocal is_first
        if is_first:
            is_first = False
            time.sleep(HELD_S)  # the stall itself
        return ANSWER

    # With one connection, what is due meanwhile cannot even be sent.
    with running_load(answer, connections_count=1) as load:
        load.run(
            make_requests(60, label="run", seed=1),
            [round(place / RATE * 1e9) for place in range(60)],
        )
    stalled_count = int(HELD_S * RATE) - 1
    for place in range(stalled_count):
        assert load.latency_ns[place] >= (HELD_S - place / RATE) * 1e9
        assert place == 0 or load.late_ns[place] >= (HELD_S - place / RATE) * 1e9
    assert load.waited_count >= stalled_count - 1


def test_load_says_once_when_the_warm_up_has_been_sent() -> None:
    warm: list[int] = []
    answered = 0

    def answer() -> bytes:
        nonlocal answered
        answered += 1
        return ANSWER

    with running_load(answer, connections_count=4) as load:
        due_ns = make_schedule(rate=RATE, seconds=0.2)
        requests = make_requests(len(due_ns), label="run", seed=1)
        load.run(requests, due_ns, warm_count=20, on_warm=lambda: warm.append(answered))
    assert len(warm) == 1
    assert warm[0] <= 20 < answered


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "ended before its answer"),
        (ANSWER.replace(b"200 OK", b"503 no"), "503 no"),
        (ANSWER + b"HTTP", "4 bytes came behind"),
    ],
)
def test_load_ends_when_an_answer_is_not_what_was_asked_for(answer: bytes, said: str) -> None:
    with (
        running_load(lambda: answer, connections_count=2) as load,
        pytest.raises(ConnectionError, match=said),
    ):
        run(load, seconds=1)
