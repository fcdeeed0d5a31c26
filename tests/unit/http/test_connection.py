from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from meshtrail.collect.address import parse_address
from meshtrail.http import connection
from meshtrail.http.connection import ABORT
from meshtrail.http.server import Server, open_socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n"


async def answer_ok(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(b"ok")(scope, receive, send)


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, *, connections_max: int = 9) -> AsyncIterator[int]:
    ready = asyncio.Event()
    server = Server(app, connections_max=connections_max, on_ready=ready.set, keep_alive_seconds=60)
    with open_socket(parse_address("127.0.0.1:0"), option="--http") as socket:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([socket]))
            await ready.wait()
            try:
                yield socket.getsockname()[1]
            finally:
                server.should_exit = True


async def talk(port: int, *parts: bytes) -> bytes:
    """Send parts one after the other, and read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[None]:
    """A connection on which nothing is said."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    yield
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def run(
    test: Callable[[int], Awaitable[None]], app: ASGIApp = answer_ok, *, connections_max: int = 9
) -> None:
    async def inside() -> None:
        async with listening(app, connections_max=connections_max) as port:
            await test(port)

    asyncio.run(inside())


def head_of(length: int) -> bytes:
    """The head of a request of so many bytes."""
    end = b"connection: close\r\n\r\n"
    filler = b"x-filler: " + b"x" * (length - len(REQUEST) - len(end) - 12) + b"\r\n"
    return REQUEST + filler + end


def test_a_head_up_to_the_bound_is_answered_and_a_longer_one_is_not() -> None:
    async def test(port: int) -> None:
        assert (await talk(port, head_of(connection.HEAD_BYTES_MAX))).endswith(b"\r\n\r\nok")
        refused = await talk(port, head_of(connection.HEAD_BYTES_MAX + 1))
        assert refused.startswith(b"HTTP/1.1 431 ")

    run(test)


def test_a_head_without_end_is_refused_while_it_comes() -> None:
    async def test(port: int) -> None:
        parts = [b"x-%d: " % number + b"y" * 900 + b"\r\n" for number in range(100)]
        assert (await talk(port, REQUEST, *parts)).startswith((b"HTTP/1.1 431 ", b""))
        one_header = [b"y" * 1_000 for _ in range(100)]
        assert (await talk(port, REQUEST + b"x: ", *one_header)).startswith((b"HTTP/1.1 431 ", b""))

    run(test)


def test_the_bound_is_for_each_request_of_a_connection() -> None:
    async def test(port: int) -> None:
        long = head_of(connection.HEAD_BYTES_MAX // 2).replace(b"close", b"alive")
        answers = await talk(port, long, long, long, long, head_of(200))
        assert answers.count(b"HTTP/1.1 200 OK") == 5

    run(test)


@pytest.mark.parametrize("begun", [b"", b"GET / HT", REQUEST, REQUEST + b"x: 1"])
def test_a_head_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS_MAX", 0.1)

    async def test(port: int) -> None:
        assert await talk(port, begun) == b""

    run(test)


def test_a_second_request_that_does_not_come_whole_is_not_waited_for_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS_MAX", 0.1)

    async def test(port: int) -> None:
        answers = await talk(port, REQUEST + b"\r\n", REQUEST)
        assert answers.count(b"HTTP/1.1 200 OK") == 1

    run(test)


def test_bytes_that_are_no_http_are_refused() -> None:
    async def test(port: int) -> None:
        for rubbish in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\0" * 5_000):
            assert (await talk(port, rubbish)).startswith(b"HTTP/1.1 400 ")

    run(test)


def test_more_connections_than_may_are_told_so_and_yet_more_are_closed() -> None:
    async def test(port: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(connected(port))
            assert (await talk(port, head_of(200))).startswith(b"HTTP/1.1 503 ")
            for _ in range(2):
                await stack.enter_async_context(connected(port))
            assert await talk(port, head_of(200)) == b""

    run(test, connections_max=2)


def test_a_handler_can_cut_its_connection() -> None:
    async def cut(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        scope["extensions"][ABORT]()

    async def test(port: int) -> None:
        # The last chunk, which would say that this is all, never comes.
        assert not (await talk(port, head_of(200))).endswith(b"0\r\n\r\n")

    run(test, cut)


def test_who_goes_on_sending_a_body_that_was_answered_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS_MAX", 0.1)
    head = REQUEST.replace(b"GET", b"POST") + b"content-length: 1000\r\n\r\n"

    async def test(port: int) -> None:
        # It is read to the end, so that its sender comes to read the answer; but not for ever.
        assert (await talk(port, head, b"x" * 999)).startswith(b"HTTP/1.1 200 ")
        both = await talk(port, head + b"x" * 1_000, head_of(200))
        assert both.count(b"HTTP/1.1 200 OK") == 2

    run(test)


def test_a_connection_says_when_nobody_is_there_any_more() -> None:
    lost: list[Exception | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = scope["extensions"][connection.CONNECTION]
        assert not found.is_lost
        assert found.certificate_der is None
        found.when_lost(note)
        await Response(b"ok")(scope, receive, send)
        assert lost == []

    def note(error: Exception | None) -> None:
        lost.append(error)
        gone.set()

    gone = asyncio.Event()

    async def test(port: int) -> None:
        assert (await talk(port, head_of(200))).endswith(b"ok")
        await gone.wait()
        assert lost == [None]

    run(test, app)
