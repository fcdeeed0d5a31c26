from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from meshtrail.collect import exports, otlp_grpc
from meshtrail.collect.authenticator import Authenticator
from meshtrail.errors import UnauthenticatedError
from meshtrail.sources.otlp_frame import Signal
from tests.als_messages import als_message, http_record, identifier
from tests.collect_rig import METHOD, by_stream, connected, records, send_all
from tests.fake_disks import SmallDisk
from tests.otlp_messages import PATHS, export, export_of, fields_of, record, resource_part
from tests.otlp_rig import call, play

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.peer import Peer
    from tests.collect_rig import Collector


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


async def refused(channel: grpc.aio.Channel, body: bytes, **more: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, body, **more)
    return caught.value


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The status that stands in the trailers."""
    trailers = dict(error.trailing_metadata() or ())
    return status_pb2.Status.FromString(trailers["grpc-status-details-bin"])


def retry_of(error: grpc.aio.AioRpcError) -> int | None:
    """After how many seconds the sender should come again; None when it should not."""
    details = status_of(error).details
    if not details:
        return None
    retry_info = error_details_pb2.RetryInfo()
    assert details[0].Unpack(retry_info)
    return int(retry_info.retry_delay.seconds)


def test_calls_of_one_connection_share_a_stream_for_each_resource(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            for of, text in (("one", "a"), ("two", "b"), ("one", "c")):
                await call(channel, export_of(text, of=of))

    one, two = by_stream(play(directory, scene))
    assert (records(one), records(two)) == ([record("a"), record("c")], [record("b")])


def test_streams_of_access_logs_and_calls_go_together(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            await call(channel, export_of("a"))
            await send_all(channel, als_message(claims=identifier(), http=[http_record("/1")]))
            await call(channel, export_of("b"))

    assert records(play(directory, scene)) == [record("a"), http_record("/1"), record("b")]


@pytest.mark.parametrize("size", [2_001, 4_001])
def test_a_message_over_the_limit_is_refused_for_good(directory: Path, size: int) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            error = await refused(channel, bytes(size))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "grpc-status-details-bin" not in dict(error.trailing_metadata() or ()) or (
                retry_of(error) is None
            )
            await call(channel, export_of("a"))

    assert records(play(directory, scene, message_bytes_max=2_000)) == [record("a")]


def test_a_packed_message_that_unpacks_beyond_the_limit_is_refused(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            error = await refused(channel, bytes(64 << 20), compression=grpc.Compression.Gzip)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await call(channel, export_of("a"))

    assert records(play(directory, scene, message_bytes_max=2_000)) == [record("a")]


def test_what_is_no_export_is_refused_with_the_reason_and_kept(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            error = await refused(channel, b"\xff\xff")
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "not an OTLP export" in (error.details() or "")
            assert status_of(error).message == error.details()
            assert retry_of(error) is None

    assert records(play(directory, scene)) == [b"\xff\xff"]


def test_what_is_over_the_bounds_is_a_partial_success(directory: Path) -> None:
    body = export(resource_part([b""] * 1_100, of=None))

    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            ((number, partial),) = fields_of(await call(channel, body))
            assert number == 1
            assert partial.startswith(b"\x08\xcc\x08\x12")

    assert records(play(directory, scene)) == [body]


def test_a_call_without_a_message_is_refused(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            streamed: Any = channel.stream_unary(PATHS[Signal.LOGS])()
            await streamed.done_writing()
            assert await streamed.code() is grpc.StatusCode.INVALID_ARGUMENT

    assert by_stream(play(directory, scene)) == []


def test_a_message_that_does_not_come_is_not_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_grpc, "BODY_SECONDS_MAX", 0.05)

    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            streamed: Any = channel.stream_unary(PATHS[Signal.LOGS])()
            assert await streamed.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "did not come within" in await streamed.details()

    play(directory, scene)


def test_more_calls_than_may_be_under_way_are_told_when_to_come_again(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            streamed: Any = channel.stream_unary(PATHS[Signal.LOGS])()
            await streamed.wait_for_connection()
            error = None
            while error is None:
                # Until the call above has reached the collector and holds the only place.
                try:
                    await call(channel, b"")
                except grpc.aio.AioRpcError as caught:
                    error = caught
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert retry_of(error) == 1
            await streamed.write(export_of("a"))
            assert await streamed == b""
            await call(channel, export_of("b"))

    assert records(play(directory, scene, otlp_requests_max=1)) == [record("a"), record("b")]


def test_a_full_disk_holds_a_call_and_then_tells_it_to_come_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports.Exports.__init__, "__kwdefaults__", {"hold_seconds_max": 0.1})
    disk = SmallDisk(20_000)

    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            await call(channel, export_of("a"))
            disk.room_bytes = 0
            for text in ("b", "c"):
                error = await refused(channel, export_of(text))
                assert error.code() is grpc.StatusCode.UNAVAILABLE
                assert retry_of(error) == 1
            disk.room_bytes = 1 << 20
            await collector.diag.heard("journal_disk_full_ended")
            for text in ("b", "c"):
                await call(channel, export_of(text))

    entries = [e for e in play(directory, scene, disk=disk) if records([e])]
    assert [entry.payload for entry in entries] == [record(text) for text in "abbc"]
    assert [entry.flags for entry in entries] == [0, 0, 8, 0]


def test_a_sender_that_shows_nothing_is_refused_at_every_service(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = []

    def identify(_: str, certificate: bytes | None, headers: Any, source: str) -> Peer:  # noqa: ANN401 - as it comes
        assert certificate is None
        assert ("authorization", "Bearer secret-token") in list(headers)
        sources.append(source)
        raise UnauthenticatedError("neither a certificate nor a token was shown")

    monkeypatch.setattr(Authenticator, "identify", staticmethod(identify))
    metadata = (("authorization", "Bearer secret-token"),)

    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            error = await refused(channel, export_of("a"), metadata=metadata)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            stream: Any = channel.stream_unary(METHOD)(metadata=metadata)
            assert await stream.code() is grpc.StatusCode.UNAUTHENTICATED
        await collector.diag.heard("requests_refused")
        assert "secret-token" not in repr(collector.diag.events)

    assert by_stream(play(directory, scene)) == []
    assert sources == ["otlp", "envoy-als"]


def test_calls_under_way_are_answered_when_the_collector_is_told_to_stop(directory: Path) -> None:
    async def scene(collector: Collector) -> None:
        async with connected(collector.address) as channel, asyncio.TaskGroup() as tasks:
            for number in range(40):
                tasks.create_task(tell(channel, str(number)))
            await collector.received(1)
            collector.stop.set()

    async def tell(channel: grpc.aio.Channel, text: str) -> None:
        try:
            await call(channel, export_of(text))
            acknowledged.append(record(text))
        except grpc.aio.AioRpcError as error:
            # It came too late. Both are sent again.
            assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}  # noqa: PT017 - most are answered

    acknowledged: list[bytes] = []
    entries = play(directory, scene)
    assert acknowledged
    assert sorted(records(entries)) == sorted(acknowledged)
    assert [stream[-1].json["reason"] for stream in by_stream(entries)] == ["shutdown"]
