"""A collector in this process, senders that talk gRPC to it, and what its journal then holds."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from meshtrail.collect import CollectOptions, Listening, SenderRefusals, run_collect
from meshtrail.collect.diag import Diag
from meshtrail.journal import (
    NO_ENTRIES,
    Framing,
    JournalOptions,
    JournalReader,
    JournalWriter,
)
from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from meshtrail.sources.als_frame import slice_frame
from tests.fake_clock import FakeClock
from tests.otlp_messages import slice_export

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from meshtrail.store.durable import Disk

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
VERSION = "0.0.test"


class FakeDiag(Diag):
    """Keeps what it hears, and can be waited on."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._changed = asyncio.Event()

    def info(self, event: str, **facts: object) -> None:
        self._add("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        self._add("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        self._add("error", event, facts)

    def facts(self, event: str) -> dict[str, object]:
        """The facts of the one event of that name."""
        (found,) = [facts for _, name, facts in self.events if name == event]
        return found

    def alarms(self) -> list[str]:
        return [name for level, name, _ in self.events if level == "error"]

    async def heard(self, event: str) -> None:
        """Return when an event of that name has been heard."""
        while event not in [name for _, name, _ in self.events]:
            self._changed.clear()
            await self._changed.wait()

    def _add(self, level: str, event: str, facts: dict[str, object]) -> None:
        self.events.append((level, event, facts))
        self._changed.set()


@dataclass
class Collector:
    """A collector that runs.

    Attributes:
        address: where it listens for gRPC.
        otlp_http: where it listens for HTTP; None when it does not.
        directory: its journal.
        running: its task.
    """

    address: str
    otlp_http: str | None
    directory: Path
    clock: FakeClock
    diag: FakeDiag
    stop: asyncio.Event
    running: asyncio.Task[None]

    async def finish(self) -> None:
        """Tell it to stop, and wait until it has."""
        self.stop.set()
        await self.running

    async def received(self, count: int) -> None:
        """Return when its journal holds that many records."""
        await self._journaled(EntryType.RECORD, count)

    async def closed(self, count: int) -> None:
        """Return when its journal holds that many closings."""
        await self._journaled(EntryType.STREAM_CLOSED, count)

    async def _journaled(self, entry_type: EntryType, count: int) -> None:
        while True:
            found = [entry.entry_type for entry in read_entries(self.directory)]
            if found.count(entry_type) >= count:
                return
            await asyncio.sleep(0.005)  # another thread writes them; there is nothing to wait on


@contextlib.asynccontextmanager
async def running_collector(
    directory: Path,
    *,
    options: CollectOptions | None = None,
    journal_options: JournalOptions | None = None,
    disk: Disk | None = None,
    clock: FakeClock | None = None,
) -> AsyncIterator[Collector]:
    """Run a collector; at the end it is told to stop, if it was not before."""
    used_clock = clock or FakeClock()
    diag = FakeDiag()
    stop = asyncio.Event()
    listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    with JournalWriter(
        directory, clock=used_clock, options=journal_options or QUICK, disk=disk
    ) as journal:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(
                run_collect(
                    options or collect_options(),
                    journal=journal,
                    clock=used_clock,
                    version=VERSION,
                    refusals=SenderRefusals(diag),
                    diag=diag,
                    stop=stop,
                    ready=listening.set_result,
                )
            )
            doors = await listening
            collector = Collector(
                doors.grpc, doors.otlp_http, directory, used_clock, diag, stop, running
            )
            yield collector
            stop.set()


QUICK = JournalOptions(linger_ms=0)


def collect_options(**changed: Any) -> CollectOptions:
    """Options of a collector on free ports."""
    return CollectOptions(**{"grpc": "127.0.0.1:0", "otlp_http": "127.0.0.1:0", **changed})


@contextlib.asynccontextmanager
async def connected(
    address: str, *, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own, as another Envoy would have."""
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
        ("grpc.ssl_target_name_override", "localhost"),
    ]
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=options)
    async with channel:
        yield channel


def open_stream(channel: grpc.aio.Channel) -> grpc.aio.StreamUnaryCall[bytes, bytes]:
    return channel.stream_unary(METHOD)()


async def send_all(channel: grpc.aio.Channel, *messages: bytes) -> None:
    """Send messages on a stream of their own and end it; returns when the collector did too."""
    call = open_stream(channel)
    for message in messages:
        await call.write(message)
    await call.done_writing()
    await call


@dataclass(frozen=True)
class Entry:
    """An entry to be, as the sealer will make it of the journal."""

    stream: int
    seq: int
    entry_type: EntryType
    payload_format: PayloadFormat
    received_ns: int
    payload: bytes
    flags: EntryFlags = EntryFlags(0)

    @property
    def json(self) -> dict[str, Any]:
        return decode_json(self.payload)


def read_entries(directory: Path) -> list[Entry]:
    """Every entry that a journal becomes, in order."""
    return [entry for row, data in _frames(directory) for entry in _entries(row, data)]


def read_blobs(directory: Path) -> list[bytes]:
    return [data for row, data in _frames(directory) if row["framing"] == Framing.BLOB]


def records(entries: list[Entry]) -> list[bytes]:
    return [entry.payload for entry in entries if entry.entry_type is EntryType.RECORD]


def by_stream(entries: list[Entry]) -> list[list[Entry]]:
    """The entries of each sender's stream, in the order in which the streams were opened."""
    streams: dict[int, list[Entry]] = {}
    for entry in entries:
        streams.setdefault(entry.stream, []).append(entry)
    return [found for found in streams.values() if found[0].json.get("transport") != "self"]


def own_entries(entries: list[Entry]) -> list[Entry]:
    """The entries of the collector's own streams."""
    own = {
        entry.stream
        for entry in entries
        if entry.entry_type is EntryType.STREAM_OPENED and entry.json["transport"] == "self"
    }
    return [entry for entry in entries if entry.stream in own]


def check_streams(entries: list[Entry]) -> None:
    """Every stream begins with its opening, and its `seq` have no holes; times never decrease."""
    times = [entry.received_ns for entry in entries]
    assert times == sorted(times)
    streams: dict[int, list[Entry]] = {}
    for entry in entries:
        streams.setdefault(entry.stream, []).append(entry)
    for found in streams.values():
        assert [entry.seq for entry in found] == list(range(len(found)))
        assert found[0].entry_type is EntryType.STREAM_OPENED
        closings = [entry for entry in found if entry.entry_type is EntryType.STREAM_CLOSED]
        assert closings in ([], [found[-1]])
        for closing in closings:
            assert closing.json["records"] == len(records(found))


def _frames(directory: Path) -> list[tuple[Any, bytes]]:
    reader = JournalReader(directory)
    found = []
    for part in iter(reader.read, None):
        found += [(part.rows[index], bytes(part.frame(index))) for index in range(len(part.rows))]
    reader.close()
    return found


def _entries(row: Any, data: bytes) -> list[Entry]:  # noqa: ANN401 - a numpy record
    payload_format = PayloadFormat(int(row["payload_format"]))
    framing = Framing(int(row["framing"]))
    if framing in NO_ENTRIES:
        return []
    if framing is Framing.OTLP:
        payloads = slice_export(data)
    elif framing is Framing.LINES:
        payloads = [line for line in data.split(b"\n") if line]
    else:
        payloads = [data] if framing is Framing.WHOLE else slice_frame(data, payload_format)
    assert len(payloads) == row["records_count"]
    return [
        Entry(
            stream=int(row["stream"]),
            seq=int(row["first_seq"]) + index,
            entry_type=EntryType(int(row["entry_type"])),
            payload_format=payload_format,
            received_ns=int(row["received_ns"]),
            payload=payload,
            flags=EntryFlags(int(row["flags"])),
        )
        for index, payload in enumerate(payloads)
    ]


def decode_json(payload: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(payload)
    return value
