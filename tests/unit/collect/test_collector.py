from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from meshtrail.collect import CollectOptions
from meshtrail.collect.collector import effective_config
from meshtrail.collect.tail import TailOptions
from meshtrail.errors import DurabilityError
from meshtrail.journal import JournalOptions, JournalReader, JournalWriter, blob_frame
from meshtrail.model.entry import EntryType
from meshtrail.units import UnixNanos
from tests.als_messages import INVALID_UTF8, als_message, http_record, identifier, tcp_record
from tests.collect_rig import (
    Collector,
    by_stream,
    check_streams,
    connected,
    open_stream,
    own_entries,
    read_blobs,
    read_entries,
    records,
    running_collector,
    send_all,
)
from tests.fake_clock import START_NS, FakeClock
from tests.fake_disks import FailingDisk, SmallDisk
from tests.journal_frames import read_all

if TYPE_CHECKING:
    from meshtrail.journal import ReadPosition

FIRST = als_message(claims=identifier(), http=[http_record("/first")])
SMALL = JournalOptions(
    file_bytes_max=20_000,
    journal_bytes_max=60_000,
    batch_bytes_max=20_000,
    pending_bytes_max=40_000,
    linger_ms=0,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


def message(number: int) -> bytes:
    return als_message(http=[http_record(f"/{number}/{index}") for index in range(3)])


def test_collector_says_who_it_is_before_anybody_else_and_when_it_ends(directory: Path) -> None:
    async def play() -> None:
        async with running_collector(directory) as collector:
            assert len(read_entries(directory)) == 1
            async with connected(collector.address) as channel:
                await send_all(channel, FIRST)
            await collector.finish()

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    opened, closed = own_entries(entries)
    assert entries[0] == opened
    assert entries[-1] == closed
    assert opened.json["collector"] == {"started_ns": START_NS, "version": "0.0.test"}
    assert closed.json == {"reason": "shutdown", "detail": None, "records": 0, "frames": 0}


def test_effective_configuration_is_a_blob_that_every_opening_names(directory: Path) -> None:
    async def play() -> None:
        async with running_collector(directory) as collector:
            async with connected(collector.address) as channel:
                await send_all(channel, FIRST)
            await collector.finish()

    asyncio.run(play())
    config = read_blobs(directory)[0]
    digest = hashlib.sha256(config).hexdigest()
    openings = [entry.json for entry in read_entries(directory) if entry.seq == 0]
    assert len(openings) == 2
    assert {opening["config_sha256"] for opening in openings} == {digest}
    said = json.loads(config)
    assert said["collect"]["streams_max"] == 10_000
    assert said["journal"]["linger_ms"] == 0


def test_effective_configuration_writes_paths_as_text_and_networks_as_a_list() -> None:
    tls = CollectOptions(
        grpc="h:1",
        tls_cert=Path("a"),
        tls_key=Path("b"),
        tls_client_ca=Path("c"),
        xfcc_from=("10.0.0.7",),
    )
    said = json.loads(effective_config(tls, JournalOptions()))
    tail = CollectOptions(tail=(TailOptions(path=Path("/a.log"), format="hubble"),))
    assert json.loads(effective_config(tail, JournalOptions()))["collect"]["tail"] == [
        {"path": "/a.log", "format": "hubble", "reporter": None, "cluster": None}
    ]
    assert said["collect"]["tls_cert"] == "a"
    assert said["collect"]["tokens"] is None
    assert said["collect"]["xfcc_from"] == ["10.0.0.7"]
    assert said["collect"]["message_bytes_max"] == 16 << 20


def test_many_streams_at_once_keep_their_order_and_lose_nothing(directory: Path) -> None:
    streams_count, messages_count = 60, 15

    async def send(collector: Collector, stream: int) -> None:
        async with connected(collector.address) as channel:
            first = als_message(claims=identifier(f"node-{stream}"))
            await send_all(channel, first, *[message(number) for number in range(messages_count)])

    async def play() -> None:
        async with running_collector(directory) as collector:
            async with asyncio.TaskGroup() as tasks:
                for stream in range(streams_count):
                    tasks.create_task(send(collector, stream))
            await collector.finish()

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    streams = by_stream(entries)
    want = [http_record(f"/{n}/{index}") for n in range(messages_count) for index in range(3)]
    assert len(streams) == streams_count
    assert all(records(stream) == want for stream in streams)
    nodes = {stream[0].json["claimed"]["node_id"] for stream in streams}
    assert nodes == {f"node-{stream}" for stream in range(streams_count)}


def test_streams_that_a_killed_collector_left_open_are_closed_by_the_next(directory: Path) -> None:
    async def be_killed() -> None:
        disk = FailingDisk()
        async with (
            running_collector(directory, disk=disk) as collector,
            connected(collector.address) as channel,
        ):
            call = open_stream(channel)
            await call.write(FIRST)
            await call.write(message(0))
            await collector.received(4)
            # From here on nothing reaches the disk: as good as dead.
            disk.fails_at = len(disk.calls)
            await call.write(message(1))
            await asyncio.wait([collector.running])

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(be_killed())
    assert caught.group_contains(DurabilityError)

    async def start_again() -> None:
        async with running_collector(directory) as collector:
            facts = collector.diag.facts("streams_closed_after_restart")
            assert facts == {"streams_count": 2}
            await collector.finish()

    asyncio.run(start_again())
    entries = read_entries(directory)
    check_streams(entries)
    ((*_, closing),) = by_stream(entries)
    assert closing.json == {
        "reason": "collector-restarted",
        "detail": "the last durable entry was seq 4",
        "records": 4,
        "frames": 2,
    }
    own_closings = [
        entry.json["reason"]
        for entry in own_entries(entries)
        if entry.entry_type is EntryType.STREAM_CLOSED
    ]
    assert own_closings == ["collector-restarted", "shutdown"]


def fill_journal(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        while not writer.is_full():
            writer.append([blob_frame(bytes(9_000), received_ns=UnixNanos(1))])


def test_stop_drains_what_was_delivered_and_closes_every_stream(directory: Path) -> None:
    fill_journal(directory)

    async def play() -> None:
        async with (
            running_collector(directory, journal_options=SMALL) as collector,
            connected(collector.address) as channel,
        ):
            await collector.diag.heard("journal_full")
            # Nothing of this is read now, beyond the first message of each stream.
            calls = [open_stream(channel) for _ in range(5)]
            for call in calls:
                await call.write(FIRST)
                for number in range(20):
                    await call.write(message(number))
            await asyncio.sleep(0.2)  # for the bytes to cross the loopback; no event says so
            await collector.finish()

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    streams = by_stream(entries)
    assert [stream[-1].json["reason"] for stream in streams] == ["shutdown"] * 5
    assert [len(records(stream)) for stream in streams] == [61] * 5


async def send_until_cut(channel: grpc.aio.Channel, message: bytes) -> None:
    call = open_stream(channel)
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while True:
            await call.write(message)


def test_sender_that_never_stops_does_not_keep_a_collector_from_stopping(directory: Path) -> None:
    async def play() -> None:
        async with (
            running_collector(directory) as collector,
            connected(collector.address) as channel,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(send_until_cut(channel, FIRST))
            await collector.received(1)
            await collector.finish()

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    assert by_stream(entries)[0][-1].json["reason"] == "shutdown"


def test_full_journal_stalls_senders_and_everything_sent_is_journaled_exactly_once(
    directory: Path,
) -> None:
    senders_count, messages_count = 4, 60
    sealed: list[bytes] = []
    position: ReadPosition | None = None

    def large(sender: int, number: int) -> bytes:
        path = f"/{sender}/{number}/" + "x" * 2_000
        return als_message(http=[http_record(path)], claims=None if number else identifier())

    async def send(collector: Collector, sender: int) -> None:
        async with connected(collector.address) as channel:
            await send_all(channel, *[large(sender, number) for number in range(messages_count)])

    async def play() -> None:
        nonlocal position
        async with running_collector(directory, journal_options=SMALL) as collector:
            reader = JournalReader(directory)
            async with asyncio.TaskGroup() as tasks:
                sending = [tasks.create_task(send(collector, n)) for n in range(senders_count)]
                await collector.diag.heard("journal_full")
                assert not any(task.done() for task in sending)
                collector.clock.advance(5_000_000_000)
                while not all(task.done() for task in sending):
                    sealed.extend(read_all(reader))
                    assert reader.position is not None
                    reader.remove_before(reader.position.file_number)
                    await asyncio.sleep(0.01)  # the collector looks again at its own pace
            await collector.diag.heard("journal_full_ended")
            await collector.finish()
            sealed.extend(read_all(reader))

    asyncio.run(play())
    for sender in range(senders_count):
        for number in range(messages_count):
            assert sealed.count(large(sender, number)) == 1
    counters = [json.loads(data) for data in sealed if b'"collect_stalled"' in data]
    assert counters[0]["from_ns"] == START_NS
    assert counters[0]["value"] == counters[0]["until_ns"] - START_NS == 5_000_000_000


def test_full_journal_does_not_keep_a_collector_from_stopping_in_good_order(
    directory: Path,
) -> None:
    large = als_message(claims=identifier(), http=[http_record("x" * 9_000)])

    async def play() -> None:
        async with (
            running_collector(directory, journal_options=SMALL) as collector,
            connected(collector.address) as channel,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(send_until_cut(channel, large))
            await collector.diag.heard("journal_full")
            await collector.finish()

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    assert by_stream(entries)[0][-1].json["reason"] == "shutdown"
    assert [entry.entry_type for entry in own_entries(entries)] == [
        EntryType.STREAM_OPENED,
        EntryType.COUNTER,
        EntryType.STREAM_CLOSED,
    ]


def test_full_disk_rings_and_nothing_is_lost_when_there_is_room_again(directory: Path) -> None:
    disk = SmallDisk(100_000)
    large = als_message(claims=identifier(), http=[http_record("x" * 20_000)])

    async def play() -> None:
        async with running_collector(directory, disk=disk) as collector:
            disk.room_bytes = 5_000
            async with connected(collector.address) as channel:
                call = open_stream(channel)
                await call.write(large)
                await collector.diag.heard("journal_disk_full")
                disk.room_bytes = 10**6
                await collector.diag.heard("journal_disk_full_ended")
                await call.write(large)
                await call.done_writing()
                await call
            await collector.finish()
            assert collector.diag.alarms() == ["journal_disk_full"]

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    assert records(entries).count(http_record("x" * 20_000)) == 2
    assert [e.json["name"] for e in entries if e.entry_type is EntryType.COUNTER] == [
        "collect_stalled"
    ]


def test_failed_fsync_ends_the_collector_with_a_durability_error(directory: Path) -> None:
    disk = FailingDisk()

    async def play() -> None:
        async with running_collector(directory, disk=disk) as collector:
            disk.fails_at = len(disk.calls) + 1
            async with connected(collector.address) as channel:
                call = open_stream(channel)
                await call.write(FIRST)
                await asyncio.wait([collector.running])

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(play())
    (failure,) = caught.value.exceptions
    assert isinstance(failure, DurabilityError)
    assert disk.calls[disk.fails_at or 0] == "fsync"


@pytest.mark.parametrize("years", [10, -40])
def test_wall_clock_that_jumps_years_is_sealed_as_a_clock_entry(
    directory: Path, years: int
) -> None:
    step_ns = years * 365 * 86_400 * 1_000_000_000
    clock = FakeClock()

    async def play() -> None:
        async with running_collector(directory, clock=clock) as collector:
            clock.step(step_ns)
            await collector.diag.heard("clock_stepped")
            clock.advance(2_000_000_000)
            async with connected(collector.address) as channel:
                await send_all(channel, FIRST)
            await collector.finish()

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    (told,) = [entry for entry in entries if entry.entry_type is EntryType.CLOCK]
    assert told.json == {
        "wall_ns": START_NS + step_ns,
        "collector_ns": START_NS,
        "step_ns": step_ns,
    }
    assert START_NS < entries[-1].received_ns <= START_NS + 3_000_000_000


BAD_INPUT = {
    "truncated": FIRST[:-1],
    "random": bytes(range(256)),
    "invalid UTF-8": als_message(http=[INVALID_UTF8], claims=INVALID_UTF8),
    "1 MiB path": als_message(http=[http_record("/" + "p" * (1 << 20))]),
    "deep nesting": als_message(http=[b"\x0b" * 500]),
    "both kinds": als_message(http=[http_record()], tcp=[tcp_record()]),
    "nothing": b"",
}


@pytest.mark.parametrize("bad", BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_message_is_journaled_byte_for_byte_and_the_stream_goes_on(
    directory: Path, bad: bytes
) -> None:
    async def play() -> None:
        async with running_collector(directory) as collector:
            async with connected(collector.address) as channel:
                await send_all(channel, bad, FIRST, bad, FIRST)
            assert collector.diag.alarms() == []
            await collector.finish()

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    assert records(entries).count(http_record("/first")) == 2
    if bad:
        assert read_all(JournalReader(directory)).count(bad) >= 2
