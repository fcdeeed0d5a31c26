from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from meshtrail.sources.otlp_frame import Signal
from tests.collect_rig import by_stream, connected, read_entries, records
from tests.otlp_messages import PATHS, export_of, json_export, record, resource
from tests.otlp_rig import call, play, post

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect_rig import Collector

FORMATS = {
    (Signal.LOGS, False): PayloadFormat.OTLP_LOG,
    (Signal.TRACES, False): PayloadFormat.OTLP_SPAN,
    (Signal.LOGS, True): PayloadFormat.OTLP_LOG_JSON,
    (Signal.TRACES, True): PayloadFormat.OTLP_SPAN_JSON,
}
RECORDS = [Signal.LOGS, Signal.TRACES]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


@pytest.mark.parametrize("signal", RECORDS)
def test_an_export_over_grpc_is_durable_when_it_is_acknowledged(
    directory: Path, signal: Signal
) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            assert await call(channel, export_of("a", "b"), signal) == b""
            entries = read_entries(directory)
            assert records(entries) == [record("a"), record("b")]

    entries = play(directory, scene)
    ((opened, first, second, closed),) = by_stream(entries)
    assert opened.json["transport"] == "grpc"
    assert opened.json["service"] in PATHS[signal]
    assert opened.json["claimed"]["node_cluster"] == "checkout"
    assert opened.json["identifier_bytes"] == len(resource())
    assert {first.payload_format, second.payload_format} == {FORMATS[signal, False]}
    assert first.flags == EntryFlags(0)
    assert closed.json["reason"] == "shutdown"


@pytest.mark.parametrize("signal", RECORDS)
@pytest.mark.parametrize("is_json", [False, True])
def test_an_export_over_http_is_durable_when_it_is_acknowledged(
    directory: Path, signal: Signal, *, is_json: bool
) -> None:
    body = json_export(signal, "a", "b") if is_json else export_of("a", "b")
    kind = "application/json" if is_json else "application/x-protobuf"

    async def scene(collector: Collector) -> None:
        status, headers, answer = await asyncio.to_thread(
            post, collector.otlp_http, body, path=f"/v1/{signal.name.lower()}", kind=kind
        )
        assert (status, headers["content-type"]) == (200, kind)
        assert answer == (b"{}" if is_json else b"")
        assert len(records(read_entries(directory))) == 2
        await collector.closed(1)

    ((opened, first, second, closed),) = by_stream(play(directory, scene))
    assert opened.json["transport"] == "http"
    assert opened.json["peer"].startswith("127.0.0.1:")
    assert {first.payload_format, second.payload_format} == {FORMATS[signal, is_json]}
    assert closed.json["reason"] == "ended"
    if is_json:
        assert json.loads(first.payload)


@pytest.mark.parametrize("door", ["grpc", "http"])
def test_gzip_is_taken_at_both_doors(directory: Path, door: str) -> None:
    async def scene(collector: Collector) -> None:
        if door == "http":
            packed = gzip.compress(export_of("a" * 1_000))
            answer = await asyncio.to_thread(
                post, collector.otlp_http, packed, content_encoding="gzip"
            )
            assert answer[0] == 200
            return
        async with connected(collector.address) as channel:
            await call(channel, export_of("a" * 1_000), compression=grpc.Compression.Gzip)

    assert records(play(directory, scene)) == [record("a" * 1_000)]


def test_the_same_body_of_the_same_sender_is_sealed_again_and_flagged(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        for _ in range(2):
            async with connected(collector.address) as channel:
                await call(channel, export_of("a"))
        await asyncio.to_thread(post, collector.otlp_http, export_of("a"))
        await asyncio.to_thread(post, collector.otlp_http, export_of("b"))

    entries = [entry for entry in play(directory, scene) if entry.entry_type is EntryType.RECORD]
    assert [entry.payload for entry in entries] == [record(text) for text in "aaab"]
    flags = [entry.flags for entry in entries]
    assert flags == [EntryFlags(0), EntryFlags.DUPLICATE, EntryFlags.DUPLICATE, EntryFlags(0)]
