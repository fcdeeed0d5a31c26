"""Messages and exports through a real collector: senders, doors and journal in one process."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import grpc
import grpc.aio

from meshtrail.collect import CollectOptions, Listening, SenderRefusals, run_collect
from meshtrail.journal import JournalReader, JournalWriter
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from meshtrail.journal import JournalSlice

    _Call: TypeAlias = grpc.aio.StreamUnaryMultiCallable[bytes, bytes]

ALS_METHOD: Final = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
METRICS_METHOD: Final = "/envoy.service.metrics.v3.MetricsService/StreamMetrics"
_SEND_OPTIONS: Final = [
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]
_ANSWER_S_MAX: Final = 60

_Send: TypeAlias = Callable[[Listening], Awaitable[None]]


class _Clock:
    """The machine's."""

    def wall_ns(self) -> UnixNanos:
        return UnixNanos(time.time_ns())  # noqa: TID251 - what this stands for

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class Alarms:
    """A ``Diag`` that keeps the alarms."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def info(self, event: str, **facts: object) -> None:
        """Not of interest."""

    def warning(self, event: str, **facts: object) -> None:
        """Not of interest either."""

    def error(self, event: str, **facts: object) -> None:
        """Keep it."""
        self.errors.append(f"{event} {facts}")


class Post(NamedTuple):
    """One export, and where it goes.

    Attributes:
        target: a gRPC method, or a path of HTTP.
        kind: the content type, of HTTP.
        encoding: the content encoding, of HTTP.
    """

    target: str
    body: bytes
    kind: str = ""
    encoding: str = "identity"


def receive(
    streams: Sequence[Sequence[bytes]],
    folder: Path,
    *,
    message_bytes_max: int,
    method: str = ALS_METHOD,
) -> tuple[list[JournalSlice], list[str]]:
    """Send each stream's messages, all streams at once, and stop the collector in order.

    Returns:
        What the journal holds then, and the alarms.
    """

    async def send(listening: Listening) -> None:
        async with _channel(listening) as channel:
            await asyncio.gather(
                *(_send(channel, method, messages, message_bytes_max) for messages in streams)
            )

    options = CollectOptions(
        grpc="127.0.0.1:0", otlp_http="off", message_bytes_max=message_bytes_max
    )
    return _record(send, folder, options)


def receive_posts(
    grpc_lanes: Sequence[Sequence[Post]],
    http_lanes: Sequence[Sequence[Post]],
    streams: Sequence[Sequence[bytes]],
    folder: Path,
) -> tuple[list[JournalSlice], list[str], list[list[str]]]:
    """Send exports, those of a lane one after the other on one connection, and streams of counters.

    Returns:
        What the journal holds then, the alarms, and the answers of each lane.
    """
    answers: list[list[str]] = []

    async def send(listening: Listening) -> None:
        assert listening.otlp_http is not None
        loop = asyncio.get_running_loop()
        # Threads of their own: those of the loop are the collector's.
        with ThreadPoolExecutor(max(len(http_lanes), 1)) as threads:
            async with _channel(listening) as channel:
                counting = [
                    _send(channel, METRICS_METHOD, messages, options.message_bytes_max)
                    for messages in streams
                ]
                calling = [_call_all(listening, posts) for posts in grpc_lanes]
                posting = [
                    loop.run_in_executor(threads, _post_all, listening.otlp_http, posts)
                    for posts in http_lanes
                ]
                found, _ = await asyncio.gather(
                    asyncio.gather(*calling, *posting), asyncio.gather(*counting)
                )
        answers.extend(found)

    options = CollectOptions(grpc="127.0.0.1:0", otlp_http="127.0.0.1:0")
    slices, alarms = _record(send, folder, options)
    return slices, alarms, answers


def _record(
    send: _Send, folder: Path, options: CollectOptions
) -> tuple[list[JournalSlice], list[str]]:
    alarms = Alarms()
    directory = folder / "collect"
    with JournalWriter(directory, clock=_Clock()) as journal:
        asyncio.run(_serve_and_send(send, options, journal, alarms))
    reader = JournalReader(directory)
    try:
        return list(iter(reader.read, None)), alarms.errors
    finally:
        reader.close()


async def _serve_and_send(
    send: _Send, options: CollectOptions, journal: JournalWriter, alarms: Alarms
) -> None:
    stop = asyncio.Event()
    listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            run_collect(
                options,
                journal=journal,
                clock=_Clock(),
                version="campaign",
                refusals=SenderRefusals(alarms),
                diag=alarms,
                stop=stop,
                ready=listening.set_result,
            )
        )
        await send(await listening)
        stop.set()


def _channel(listening: Listening) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(listening.grpc, options=_SEND_OPTIONS)


async def _send(
    channel: grpc.aio.Channel, method: str, messages: Sequence[bytes], message_bytes_max: int
) -> None:
    """Send one stream; the collector must end it if it holds a message that is too large."""
    call: _Call = channel.stream_unary(method)

    async def outgoing() -> AsyncIterator[bytes]:
        for message in messages:
            yield message

    is_refused = False
    try:
        await call(outgoing())
    except grpc.aio.AioRpcError as error:
        # What the sender hears depends on whether it was still sending when the stream ended.
        is_refused = error.code() in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL}
        if not is_refused:
            raise
    assert is_refused == any(len(message) > message_bytes_max for message in messages)


async def _call_all(listening: Listening, posts: Sequence[Post]) -> list[str]:
    """What each is answered over gRPC: the name of the status."""
    answers = []
    async with _channel(listening) as channel:
        for post in posts:
            export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            export = channel.unary_unary(post.target)
            try:
                await export(post.body, timeout=_ANSWER_S_MAX)
                answers.append("OK")
            except grpc.aio.AioRpcError as error:
                answers.append(error.code().name)
    return answers


def _post_all(address: str, posts: Sequence[Post]) -> list[str]:
    """What each is answered over HTTP: the status."""
    answers = []
    connection = http.client.HTTPConnection(address, timeout=_ANSWER_S_MAX)
    try:
        for post in posts:
            headers = {"content-type": post.kind, "content-encoding": post.encoding}
            connection.request("POST", post.target, post.body, headers)
            answer = connection.getresponse()
            answer.read()
            answers.append(str(answer.status))
    finally:
        connection.close()
    return answers
