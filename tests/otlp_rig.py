"""Senders of OTLP in tests: a collector that runs through a scene, one call, one request."""

from __future__ import annotations

import asyncio
import http.client
from typing import TYPE_CHECKING, Any

from meshtrail.sources.otlp_frame import Signal
from tests.collect_rig import check_streams, collect_options, read_entries, running_collector
from tests.otlp_messages import PATHS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import grpc.aio

    from meshtrail.journal import JournalOptions
    from meshtrail.store.durable import Disk
    from tests.collect_rig import Collector, Entry

    Answer = tuple[int, dict[str, str], bytes]

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def play(
    directory: Path,
    scene: Callable[[Collector], Awaitable[None]],
    *,
    journal_options: JournalOptions | None = None,
    disk: Disk | None = None,
    **options: object,
) -> list[Entry]:
    """Run a collector through a scene; returns what its journal holds in the end."""

    async def run() -> None:
        async with (
            asyncio.timeout(60),
            running_collector(
                directory,
                options=collect_options(**options),
                journal_options=journal_options,
                disk=disk,
            ) as collector,
        ):
            await scene(collector)
            await collector.finish()

    asyncio.run(run())
    entries = read_entries(directory)
    check_streams(entries)
    return entries


async def call(
    channel: grpc.aio.Channel, body: bytes, signal: Signal = Signal.LOGS, **more: Any
) -> bytes:
    export: Any = channel.unary_unary(PATHS[signal])
    answer: bytes = await export(body, **more)
    return answer


async def ask(collector: Collector, body: bytes = b"", **more: Any) -> Answer:
    """One request over HTTP, on a connection of its own."""
    return await asyncio.to_thread(post, collector.otlp_http, body, **more)


def post(
    address: str | None,
    body: bytes,
    *,
    path: str = "/v1/logs",
    kind: str = PROTOBUF,
    method: str = "POST",
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> Answer:
    assert address is not None
    if tls is None:
        connection = http.client.HTTPConnection(address, timeout=30)
    else:
        connection = http.client.HTTPSConnection(address, timeout=30, context=tls)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"content-type": kind, **named})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read()
    finally:
        connection.close()
