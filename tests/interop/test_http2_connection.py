"""The load's HTTP/2 client sends to gRPC's own server, which is what a collector is made of."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random  # noqa: TID251 - seeded, for bytes that repeat in no frame
import time
from collections import Counter
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from bench.harness.http2_connection import Http2Connection
from meshtrail.collect.server import server_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bench.harness.http2_connection import Stream

    Messages = AsyncIterator[bytes]
    Context = grpc.aio.ServicerContext[bytes, bytes]

PATH = "/service/method"
END_S_MAX = 20.0
HELD_S = 0.4
FRAME = 16_384
WINDOW = 65_535
PREFIX = 5
SIZES = [0, 1, FRAME - 5, FRAME - 4, FRAME, FRAME + 300, 17_000, 40_000, WINDOW - 5, WINDOW]
# As a collector sets them, and as gRPC does by itself.
OPTIONS = [server_options(message_bytes_max=16 << 20, streams_max=1000), []]


@contextlib.asynccontextmanager
async def running_server(
    handle: Callable[[Messages, Context], Awaitable[bytes]],
    options: list[tuple[str, int]] | None = None,
) -> AsyncIterator[int]:
    """Serve ``PATH`` on a free loopback port, which is what is yielded."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), *(options or [])])
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(handle)
    _, service, method = PATH.split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(grace=None)


class Receiver:
    """Keeps each stream's messages, from when it is let."""

    def __init__(self) -> None:
        self.streams: list[list[bytes]] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.has_read = asyncio.Event()

    async def handle(self, messages: Messages, _: Context) -> bytes:
        taken: list[bytes] = []
        self.streams.append(taken)
        await self.may_read.wait()
        async for message in messages:
            taken.append(message)
            self.has_read.set()
        return b""


def send_in_turns(port: int, messages_by_stream: list[list[bytes]]) -> float:
    """Send the first message of every stream, then the second; returns the seconds of CPU."""
    started = time.thread_time()
    with Http2Connection(port) as connection:
        streams = [connection.open_stream(PATH) for _ in messages_by_stream]
        for messages in itertools.zip_longest(*messages_by_stream):
            for stream, message in zip(streams, messages, strict=True):
                connection.send(stream, memoryview(message))
        finish(connection, streams)
    return time.thread_time() - started


def finish(connection: Http2Connection, streams: list[Stream]) -> None:
    for stream in streams:
        connection.finish_stream(stream)
    connection.wait_for_ends(seconds_max=END_S_MAX)


@pytest.mark.parametrize("options", OPTIONS)
def test_messages_arrive_whole_and_in_order_on_many_streams(options: list[tuple[str, int]]) -> None:
    chance = random.Random(1)  # noqa: S311 - seeded, so that a failure can be seen again
    sent = [[chance.randbytes(size) for size in SIZES] for _ in range(40)]
    for messages in sent:
        chance.shuffle(messages)

    async def receive() -> list[list[bytes]]:
        receiver = Receiver()
        async with running_server(receiver.handle, options) as port:
            await asyncio.to_thread(send_in_turns, port, sent)
        return receiver.streams

    # Streams are handled in any order; what each one holds tells which it is.
    assert sorted(asyncio.run(receive())) == sorted(sent)


@pytest.mark.parametrize("options", OPTIONS)
def test_message_larger_than_every_window_arrives_whole(options: list[tuple[str, int]]) -> None:
    message = random.Random(2).randbytes(12 << 20)  # noqa: S311 - as above

    async def receive() -> list[list[bytes]]:
        receiver = Receiver()
        async with running_server(receiver.handle, options) as port:
            await asyncio.to_thread(send_in_turns, port, [[message, b"next"]])
        return receiver.streams

    assert asyncio.run(receive()) == [[message, b"next"]]


def test_sender_waits_without_cpu_for_a_server_that_does_not_read() -> None:
    chance = random.Random(3)  # noqa: S311 - as above
    sent = [[chance.randbytes(17_000) for _ in range(50)] for _ in range(4)]

    async def receive() -> tuple[list[list[bytes]], bool, float]:
        receiver = Receiver()
        receiver.may_read.clear()
        async with (
            running_server(receiver.handle, OPTIONS[0]) as port,
            asyncio.TaskGroup() as tasks,
        ):
            sending = tasks.create_task(asyncio.to_thread(send_in_turns, port, sent))
            # The time in which a sender that asks again and again would be busy.
            await asyncio.sleep(HELD_S)
            is_held = not sending.done()
            receiver.may_read.set()
            cpu_s = await sending
        return receiver.streams, is_held, cpu_s

    taken, is_held, cpu_s = asyncio.run(receive())
    assert is_held
    assert cpu_s < HELD_S / 2
    assert sorted(taken) == sorted(sent)


@pytest.mark.parametrize("options", OPTIONS)
def test_calls_of_one_message_are_forgotten_once_they_are_answered(
    options: list[tuple[str, int]],
) -> None:
    chance = random.Random(4)  # noqa: S311 - as above
    # All answers together are more than the windows that a client opens by itself.
    sent = [chance.randbytes(chance.randrange(1, 4_000)) for _ in range(400)]
    taken: list[bytes] = []

    async def echo(messages: Messages, _: Context) -> bytes:
        taken.append(await anext(messages))
        return taken[-1]

    def call(port: int) -> Http2Connection:
        with Http2Connection(port) as connection:
            for message in sent:
                connection.wait_for_room(streams_max=8)
                connection.send(connection.open_stream(PATH), memoryview(message), is_last=True)
                assert connection.open_count <= 8
            connection.wait_for_ends(seconds_max=END_S_MAX)
        return connection

    async def receive() -> Http2Connection:
        async with running_server(echo, options) as port:
            return await asyncio.to_thread(call, port)

    connection = asyncio.run(receive())
    assert sorted(taken) == sorted(sent)
    assert connection.open_count == 0
    assert connection.answers == Counter(len(message) + PREFIX for message in sent)


def test_call_that_is_refused_has_no_answer() -> None:
    def call(port: int) -> Http2Connection:
        with Http2Connection(port) as connection:
            for _ in range(3):
                connection.send(connection.open_stream(PATH), memoryview(b"message"), is_last=True)
            connection.wait_for_ends(seconds_max=END_S_MAX)
        return connection

    async def receive() -> Http2Connection:
        async with running_server(abort) as port:
            return await asyncio.to_thread(call, port)

    assert asyncio.run(receive()).answers == {0: 3}


async def abort(messages: Messages, context: Context) -> bytes:
    await anext(messages)
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")


async def fail(messages: Messages, _: Context) -> bytes:
    await anext(messages)
    raise RuntimeError("the handler fails")


async def answer(messages: Messages, _: Context) -> bytes:
    return await anext(messages)


@pytest.mark.parametrize("handle", [abort, fail, answer])
def test_stream_that_the_server_ends_early_ends_the_sender(
    handle: Callable[[Messages, Context], Awaitable[bytes]],
) -> None:
    async def send() -> None:
        async with running_server(handle) as port:
            await asyncio.to_thread(send_in_turns, port, [[b"message"] * 1_000_000])

    with pytest.raises(ConnectionError, match="server ended stream 1 before its last message"):
        asyncio.run(send())


def test_server_that_stops_ends_the_sender() -> None:
    async def send() -> None:
        receiver = Receiver()
        async with asyncio.TaskGroup() as tasks:
            async with running_server(receiver.handle) as port:
                sending = tasks.create_task(
                    asyncio.to_thread(send_in_turns, port, [[b"message"] * 10_000_000])
                )
                await receiver.has_read.wait()
            await sending

    # The thread's error is raised where it is awaited, and by its group when that ends first.
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(send())
    for error in caught.value.exceptions:
        assert isinstance(error, ConnectionError)
        assert "server" in str(error)
