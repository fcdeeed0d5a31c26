"""Messages through a real collector: gRPC client, server and journal in one process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc
import grpc.aio

from meshtrail.collect import CollectOptions, Listening, run_collect
from meshtrail.journal import JournalReader, JournalWriter
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from meshtrail.journal import JournalSlice

    _Call: TypeAlias = grpc.aio.StreamUnaryMultiCallable[bytes, bytes]

METHOD: Final = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
_SEND_OPTIONS: Final = [("grpc.max_send_message_length", -1)]


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


def receive(
    streams: Sequence[Sequence[bytes]], folder: Path, *, message_bytes_max: int
) -> tuple[list[JournalSlice], list[str]]:
    """Send each stream's messages, all streams at once, and stop the collector in order.

    Returns:
        What the journal holds then, and the alarms.
    """
    alarms = Alarms()
    directory = folder / "collect"
    options = CollectOptions(
        grpc="127.0.0.1:0", otlp_http="off", message_bytes_max=message_bytes_max
    )
    with JournalWriter(directory, clock=_Clock()) as journal:
        asyncio.run(_serve_and_send(streams, options, journal, alarms))
    reader = JournalReader(directory)
    try:
        return list(iter(reader.read, None)), alarms.errors
    finally:
        reader.close()


async def _serve_and_send(
    streams: Sequence[Sequence[bytes]],
    options: CollectOptions,
    journal: JournalWriter,
    alarms: Alarms,
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
                diag=alarms,
                stop=stop,
                ready=listening.set_result,
            )
        )
        address = (await listening).grpc
        async with grpc.aio.insecure_channel(address, options=_SEND_OPTIONS) as channel:
            call: _Call = channel.stream_unary(METHOD)
            await asyncio.gather(
                *(_send(call, messages, options.message_bytes_max) for messages in streams)
            )
        stop.set()


async def _send(
    call: _Call,
    messages: Sequence[bytes],
    message_bytes_max: int,
) -> None:
    """Send one stream; the collector must end it if it holds a message that is too large."""

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
