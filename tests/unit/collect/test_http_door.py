from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc import status_pb2

from meshtrail.collect import exports, http_door
from meshtrail.collect.authenticator import Authenticator
from meshtrail.errors import DurabilityError, UnauthenticatedError
from meshtrail.journal import JournalOptions
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.otlp_frame import Signal
from meshtrail.store.durable import Disk
from tests.collect_rig import QUICK, by_stream, read_entries, records
from tests.fake_disks import SmallDisk
from tests.otlp_messages import export, export_of, json_export, record, resource_part
from tests.otlp_rig import JSON, PROTOBUF, ask, play

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.peer import Peer
    from tests.collect_rig import Collector
    from tests.otlp_rig import Answer


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"path": "/"}, 404),
    ({"path": "/v1/profiles"}, 404),
    ({"method": "GET"}, 405),
    ({"method": "OPTIONS"}, 405),
    ({"kind": "text/plain"}, 415),
    ({"kind": ""}, 415),
    ({"content_encoding": "zstd"}, 415),
    ({"origin": "http://evil.example"}, 403),
    ({"content_encoding": "gzip"}, 400),
    ({"body": bytes(3_000)}, 413),
    ({"body": gzip.compress(bytes(3_000)), "content_encoding": "gzip"}, 413),
    ({"body": b"\xff"}, 400),
    ({"body": b"[]", "kind": JSON}, 400),
    ({"body": b"{", "kind": "application/json; charset=utf-8", "path": "/v1/traces"}, 400),
]


@pytest.mark.parametrize(
    ("request_", "status"),
    [pytest.param(*case, id=f"{case[1]} {at}") for at, case in enumerate(REFUSED)],
)
def test_a_request_that_is_refused_is_told_so_in_its_own_encoding(
    directory: Path, request_: dict[str, Any], status: int
) -> None:
    async def scene(collector: Collector) -> None:
        said = {"body": export_of("a"), **request_}
        found, headers, body = await ask(collector, **said)
        assert found == status
        if said.get("kind", PROTOBUF) == PROTOBUF:
            assert headers["content-type"] == PROTOBUF
            assert status_pb2.Status.FromString(body).message
        else:
            assert headers["content-type"] == JSON
            assert json.loads(body)["message"]
        assert "retry-after" not in headers
        assert headers.get("allow") == ("POST" if status == 405 else None)
        # The next one is heard all the same.
        assert (await ask(collector, export_of("b")))[0] == 200

    entries = play(directory, scene, message_bytes_max=2_000)
    frames = [e.payload for e in entries if e.payload_format is PayloadFormat.OTLP_FRAME]
    # What is no OTLP is evidence of who sent it; what was not read whole is not.
    assert frames == ([request_["body"]] if status == 400 and "body" in request_ else [])
    assert record("b") in records(entries)


def test_a_body_without_a_declared_length_is_bounded_too(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        def parts() -> Any:  # noqa: ANN401 - http.client sends them as chunks
            yield from [bytes(1_000)] * 3

        assert (await ask(collector, parts()))[0] == 413

    play(directory, scene, message_bytes_max=2_000)


def test_what_is_over_the_bounds_is_a_partial_success(directory: Path) -> None:
    body = export(resource_part([b""] * 1_100, of=None))

    async def scene(collector: Collector) -> None:
        status, _, answer = await ask(collector, body)
        assert status == 200
        assert b"1100 records" in answer

    (entry,) = [e for e in play(directory, scene) if e.payload == body]
    assert entry.payload_format is PayloadFormat.OTLP_FRAME


def test_a_sender_that_shows_nothing_is_refused_and_no_secret_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, bytes | None, list[Any], str]] = []

    def identify(address: str, certificate: bytes | None, headers: Any, source: str) -> Peer:  # noqa: ANN401 - as it comes
        heard.append((address, certificate, list(headers), source))
        raise UnauthenticatedError("neither a certificate nor a token was shown")

    monkeypatch.setattr(Authenticator, "identify", staticmethod(identify))

    async def scene(collector: Collector) -> None:
        answer = await ask(collector, export_of("a"), authorization="Bearer secret-token")
        assert answer[0] == 401
        await collector.diag.heard("requests_refused")
        assert "secret-token" not in repr(collector.diag.events)

    assert by_stream(play(directory, scene)) == []
    ((address, certificate, headers, source),) = heard
    assert address.startswith("127.0.0.1:")
    assert (certificate, source) == (None, "otlp")
    assert (b"authorization", b"Bearer secret-token") in headers


async def send_raw(collector: Collector, *parts: bytes, ends: bool = True) -> bytes:
    """Send bytes and read what comes to the end; the last part asks for the end."""
    assert collector.otlp_http is not None
    host, _, port = collector.otlp_http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read() if ends else b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def request_of(body: bytes, *, connection: str = "keep-alive") -> bytes:
    head = (
        f"POST /v1/logs HTTP/1.1\r\nhost: h\r\ncontent-type: {PROTOBUF}\r\n"
        f"content-length: {len(body)}\r\nconnection: {connection}\r\n\r\n"
    )
    return head.encode() + body


def test_requests_of_one_connection_share_its_streams_also_when_pipelined(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        last = request_of(export_of("c"), connection="close")
        both = request_of(export_of("a")) + request_of(export_of("b"))
        answers = await send_raw(collector, both, last)
        assert answers.count(b"HTTP/1.1 200 OK") == 3
        await collector.closed(1)

    (stream,) = by_stream(play(directory, scene))
    assert records(stream) == [record(text) for text in "abc"]
    assert stream[-1].json["reason"] == "ended"


def test_at_the_end_an_idle_connection_is_closed_and_a_request_under_way_is_answered(
    directory: Path,
) -> None:
    async def scene(collector: Collector) -> None:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        idle, idle_writer = await asyncio.open_connection(host, int(port))
        idle_writer.write(request_of(export_of("a")))
        assert (await idle.readline()).startswith(b"HTTP/1.1 200 ")
        slow, slow_writer = await asyncio.open_connection(host, int(port))
        whole = request_of(export_of("b"))
        begun = whole.replace(b"host:", b"expect: 100-continue\r\nhost:")[:-3]
        slow_writer.write(begun)
        assert await slow.readline() == b"HTTP/1.1 100 Continue\r\n"
        collector.stop.set()
        while await idle.read(1_000):
            pass
        slow_writer.write(whole[-3:])
        assert b"HTTP/1.1 200 " in await slow.read()
        for writer in (idle_writer, slow_writer):
            writer.close()
            await writer.wait_closed()

    streams = by_stream(play(directory, scene))
    assert [records(stream) for stream in streams] == [[record("a")], [record("b")]]
    assert [stream[-1].json["reason"] for stream in streams] == ["shutdown", "shutdown"]


def test_a_sender_that_goes_in_the_middle_of_a_body_leaves_nothing_behind(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        await send_raw(collector, request_of(export_of("a"))[:-3], ends=False)
        assert (await ask(collector, export_of("b")))[0] == 200

    assert records(play(directory, scene)) == [record("b")]


def test_a_body_that_does_not_come_is_not_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "BODY_SECONDS_MAX", 0.05)

    async def scene(collector: Collector) -> None:
        answer = await send_raw(collector, request_of(export_of("a"), connection="close")[:-3])
        assert answer.startswith(b"HTTP/1.1 408 ")

    assert records(play(directory, scene)) == []


def test_more_requests_than_may_be_under_way_are_told_when_to_come_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "BODY_SECONDS_MAX", 60)

    async def scene(collector: Collector) -> None:
        async with asyncio.TaskGroup() as tasks:
            first = request_of(export_of("a"), connection="close")
            # The only place is taken by one whose body is on its way.
            slow = tasks.create_task(hold(collector, first))
            await begun.wait()
            status, headers, body = await ask(collector, export_of("b"))
            assert (status, headers["retry-after"]) == (429, "1")
            assert status_pb2.Status.FromString(body).code == 8
            go_on.set()
            assert (await slow).startswith(b"HTTP/1.1 200 ")
        assert (await ask(collector, export_of("b")))[0] == 200
        await collector.diag.heard("senders_turned_away")

    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold(collector: Collector, whole: bytes) -> bytes:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/logs HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n")
        writer.write(whole.partition(b"host: h\r\n")[2][:-3])
        # It is asked for the body once it has its place.
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        begun.set()
        await go_on.wait()
        writer.write(whole[-3:])
        await reader.readline()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    assert records(play(directory, scene, otlp_requests_max=1)) == [record("a"), record("b")]


def test_a_full_disk_holds_a_sender_and_then_tells_it_to_come_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports.Exports.__init__, "__kwdefaults__", {"hold_seconds_max": 0.2})
    disk = SmallDisk(20_000)

    async def scene(collector: Collector) -> None:
        assert (await ask(collector, export_of("a")))[0] == 200
        await collector.closed(1)
        disk.room_bytes = 0
        # This one is in memory already when the disk says no; the next one is held before it is.
        for text in ("b", "c"):
            status, headers, body = await ask(collector, json_export(Signal.LOGS, text), kind=JSON)
            assert (status, headers["retry-after"]) == (503, "1")
            assert json.loads(body)["code"] == 14
        assert collector.diag.alarms()[0] == "journal_disk_full"
        disk.room_bytes = 1 << 20
        await collector.diag.heard("journal_disk_full_ended")
        for text in ("b", "c"):
            answer = await ask(collector, json_export(Signal.LOGS, text), kind=JSON)
            assert answer[0] == 200

    entries = [e for e in play(directory, scene, disk=disk) if b'"stringValue":' in e.payload]
    said = [json.loads(e.payload)["resourceLogs"][0]["scopeLogs"][0] for e in entries]
    assert [one["logRecords"][0]["body"]["stringValue"] for one in said] == ["b", "b", "c"]
    assert [entry.flags for entry in entries] == [0, 8, 0]


def test_what_was_acknowledged_is_flagged_when_it_comes_again_after_a_restart(
    directory: Path,
) -> None:
    async def once(collector: Collector) -> None:
        assert (await ask(collector, export_of("a")))[0] == 200

    play(directory, once)
    play(directory, once)
    assert [(e.payload, e.flags) for e in read_entries(directory) if e.payload == record("a")] == [
        (record("a"), 0),
        (record("a"), 8),
    ]


def test_an_export_larger_than_a_file_of_the_journal_is_taken(directory: Path) -> None:
    options = JournalOptions(
        file_bytes_max=1_000, batch_bytes_max=1_000, journal_bytes_max=1 << 20, linger_ms=0
    )
    assert options != QUICK

    async def scene(collector: Collector) -> None:
        for text in ("a" * 5_000, "b"):
            assert (await ask(collector, export_of(text)))[0] == 200

    assert records(play(directory, scene, journal_options=options))[0] == record("a" * 5_000)


def test_a_failed_fsync_is_never_acknowledged_and_ends_the_collector(directory: Path) -> None:
    answers: list[Answer] = []

    async def scene(collector: Collector) -> None:
        assert (await ask(collector, export_of("a")))[0] == 200
        await collector.closed(1)
        disk.is_failing = True
        answers.append(await ask(collector, export_of("b")))

    disk = FsyncDisk()
    with pytest.raises(ExceptionGroup) as caught:
        play(directory, scene, disk=disk)
    assert caught.group_contains(DurabilityError)
    # The end of the collector ends the scene, sometimes before it has read the answer.
    for status, headers, _ in answers:
        assert (status, headers["retry-after"]) == (503, "1")


class FsyncDisk(Disk):
    """A disk whose next fsync fails when it is told so."""

    def __init__(self) -> None:
        self.is_failing = False

    def fsync(self, fd: int) -> None:
        if self.is_failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().fsync(fd)
