"""What becomes of hostile bodies of records and webhooks, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Final

import pytest

from meshtrail.collect import http_door
from meshtrail.collect.record_http import RECORDS_COUNT_MAX
from meshtrail.journal import JournalReader
from meshtrail.log.intake import make_entries
from meshtrail.model.entry import PayloadFormat
from meshtrail.units import UnixNanos
from tests.collect_rig import by_stream, records
from tests.otlp_rig import JSON, ask, play

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect_rig import Collector, Entry

LINES: Final = "application/x-ndjson"
AUDIT: Final = "/v1/records/kubernetes-audit"
ENVOY: Final = "/v1/records/envoy-json"
GOOD: Final = b'{"auditID":"good"}'
MIB: Final = 1 << 20
DEEP: Final = 100_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


def send(directory: Path, path: str, kind: str, *bodies: bytes) -> tuple[list[int], list[Entry]]:
    """The answers to bodies that come one by one, and what is sealed of them."""
    statuses = []

    async def scene(collector: Collector) -> None:
        for body in bodies:
            begun = time.perf_counter()
            statuses.append((await ask(collector, body, path=path, kind=kind))[0])
            # Nobody else is held up by what one sends, for long.
            assert time.perf_counter() - begun < 10
        assert (await ask(collector, GOOD, path=path, kind=kind))[0] == 200
        assert collector.diag.alarms() == []

    entries = play(directory, scene)
    reader = JournalReader(directory)
    batch = make_entries(list(iter(reader.read, None)), after_ns=UnixNanos(0))
    reader.close()
    assert len(batch.entries) == len(entries)
    assert records(entries)[-1] == GOOD
    return statuses, [one for one in entries if records([one])][:-1]


DOCUMENTS: Final[dict[str, bytes]] = {
    "brackets that do not close": b"[" * DEEP,
    "deep items that do not close": b'{"items":[' + b'{"a":[' * DEEP + b"]}" * DEEP + b"]",
    "members beside the items": b'{"items":[]' + b',"x":0' * DEEP + b"}",
    "commas": b"[" + b"0," * (1 << 20) + b"0]",
    "more items than are taken": b"[" + b"{},{},{},{}," * (RECORDS_COUNT_MAX // 4) + b"{}]",
    "items of a byte": b'{"items":[' + b"1," * 2_000 + b"1]}",
    "items twice": b'{"items":[{"a":1}],"items":[{"b":2}]}',
    "items in another spelling": b'{"items":[{"a":1}],"it\\u0065ms":[{"b":2}]}',
    "items that are none": b'{"items":{"0":{}}}',
    "a byte order mark": b'\xef\xbb\xbf{"items":[]}',
    "zero bytes": bytes(5_000),
    "half of a pair": b'{"items":[{"a":"\\ud800"}]',
    "a second document": b'{"items":[]}{"items":[{}]}',
    "nothing": b" ",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_that_is_no_list_is_refused_and_sealed_as_it_came(
    directory: Path, name: str
) -> None:
    statuses, sealed = send(directory, AUDIT, JSON, DOCUMENTS[name])
    assert statuses == [400]
    kept = [(one.payload, one.payload_format) for one in sealed]
    assert kept == [(DOCUMENTS[name], PayloadFormat.BODY_FRAME)]


def test_items_that_are_anything_are_records_as_they_stood(directory: Path) -> None:
    deep = b'{"a":[' * DEEP + b"]}" * DEEP
    items = [b"null", b"[]", b'{"a":1,"a":2}', b"1e999999", b'"\\ud800"', b'"\xff"', deep]
    statuses, sealed = send(directory, AUDIT, JSON, b'{"items":[' + b", ".join(items) + b"]}")
    assert statuses == [200]
    assert [one.payload for one in sealed] == items


def test_lines_of_anything_are_records_as_they_stood(directory: Path) -> None:
    lines = [bytes(5), b"\xff\xfe", b"[" * 5_000, b"\r", b" ", b'{"a":' * 300, "é\u2028é".encode()]
    statuses, sealed = send(directory, ENVOY, LINES, b"\n\n".join(lines), b"\0", b"\n\0\n")
    assert statuses == [200, 200, 200]
    assert [one.payload for one in sealed] == [*lines, b"\0", b"\0"]


def test_a_line_over_many_frames_is_one_record(directory: Path) -> None:
    line = b"x" * (3 * MIB)
    statuses, sealed = send(directory, ENVOY, LINES, b"a\n" + line + b"\nb")
    assert statuses == [200]
    assert [len(one.payload) for one in sealed] == [1, len(line), 1]


def test_a_million_lines_are_kept_whole_and_refused_at_once(directory: Path) -> None:
    body = b"0\n" * 1_000_000
    statuses, sealed = send(directory, ENVOY, LINES, body)
    assert statuses == [400]
    assert [one.payload_format for one in sealed] == [PayloadFormat.BODY_FRAME]


def bomb(mebibytes: int) -> bytes:
    """Line feeds, packed to a thousandth."""
    packer = zlib.compressobj(9, wbits=31)
    part = b"\n" * MIB
    return b"".join([*(packer.compress(part) for _ in range(mebibytes)), packer.flush()])


@pytest.mark.parametrize(
    ("packed", "status"),
    [
        (bomb(64), 413),
        (gzip.compress(bomb(64)), 200),
        (gzip.compress(GOOD) + bomb(64), 400),
        (gzip.compress(GOOD)[:-5], 400),
    ],
    ids=["a bomb", "a bomb in a bomb", "a bomb behind a member", "half"],
)
def test_a_packed_body_is_never_held_beyond_its_bound(
    directory: Path, packed: bytes, status: int
) -> None:
    peaks = []

    async def scene(collector: Collector) -> None:
        asked = {"path": ENVOY, "kind": LINES}
        # What is loaded with the first request is not counted.
        assert (await ask(collector, GOOD, **asked))[0] == 200
        tracemalloc.start()
        try:
            status_found = (await ask(collector, packed, content_encoding="gzip", **asked))[0]
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert status_found == status

    play(directory, scene, message_bytes_max=MIB)
    assert peaks[0] < 8 * MIB


def test_a_body_that_does_not_come_is_not_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "BODY_SECONDS_MAX", 0.05)

    async def scene(collector: Collector) -> None:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        for path in (AUDIT, ENVOY):
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: {JSON}\r\n"
            writer.write(f"{head}content-length: 99\r\n\r\n".encode() + GOOD)
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    assert by_stream(play(directory, scene)) == []


def test_a_sender_that_goes_in_the_middle_of_a_body_leaves_nothing(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {ENVOY} HTTP/1.1\r\nhost: h\r\ncontent-type: {LINES}\r\n"
        writer.write(f"{head}content-length: 99\r\n\r\n".encode() + GOOD)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await ask(collector, b"after", path=ENVOY, kind=LINES))[0] == 200

    assert records(play(directory, scene)) == [b"after"]


def test_names_of_many_senders_take_no_more_streams_than_may_be_open(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in range(20):
            path = f"{ENVOY}?reporter=r{number}"
            head = f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: {LINES}\r\n"
            writer.write(f"{head}content-length: 2\r\n\r\n{{}}".encode())
            await reader.readuntil(b'{"records":1}')
        writer.close()
        await writer.wait_closed()
        await collector.closed(20)

    streams = by_stream(play(directory, scene, otlp_connection_streams_max=4))
    reasons = [stream[-1].json["reason"] for stream in streams]
    assert reasons == ["overflow"] * 16 + ["ended"] * 4


def test_a_long_query_or_agent_is_bounded(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        for query in ("?" + "reporter=a&" * 3_000, "?reporter=" + "x" * 20_000):
            status, _, answer = await ask(collector, GOOD, path=ENVOY + query, kind=LINES)
            assert status in {400, 431}
            assert len(answer) < 500
            assert status == 431 or json.loads(answer)["code"] == 3
        taken = await ask(collector, GOOD, path=ENVOY, kind=LINES, user_agent="x" * 30_000)
        assert taken[0] == 200

    ((opened, *_),) = by_stream(play(directory, scene))
    assert len(opened.payload) < 3_000
