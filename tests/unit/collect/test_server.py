from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined] # the stubs leave it out

from meshtrail.collect.server import server_options
from meshtrail.demo.authority import Authority
from meshtrail.errors import ConfigError
from tests.als_messages import als_message, http_record, identifier
from tests.collect_rig import (
    METHOD,
    by_stream,
    check_streams,
    collect_options,
    connected,
    open_stream,
    read_entries,
    records,
    running_collector,
    send_all,
)

if TYPE_CHECKING:
    from meshtrail.collect import CollectOptions
    from meshtrail.demo.authority import Identity

FIRST = als_message(claims=identifier(), http=[http_record("/first")])
NEXT = als_message(http=[http_record("/next")])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


def options(**bounds: int) -> CollectOptions:
    return collect_options(**bounds)


def closings(directory: Path) -> list[dict[str, object]]:
    entries = read_entries(directory)
    check_streams(entries)
    return [stream[-1].json for stream in by_stream(entries)]


def test_every_server_option_is_a_name_that_grpc_knows() -> None:
    # gRPC takes any name and ignores those that it does not know.
    library = Path(cygrpc.__file__).read_bytes()
    for name, _ in server_options(message_bytes_max=1, streams_max=1):
        assert name.encode() + b"\0" in library


def test_stream_that_its_sender_ends_is_closed_as_ended(directory: Path) -> None:
    async def play() -> None:
        async with running_collector(directory) as collector:
            async with connected(collector.address) as channel:
                await send_all(channel, FIRST, NEXT, NEXT)
            await collector.finish()

    asyncio.run(play())
    assert closings(directory) == [
        {"reason": "ended", "detail": None, "records": 3, "frames": 3},
    ]


def test_stream_that_its_sender_resets_is_closed_as_cancelled(directory: Path) -> None:
    async def play() -> None:
        async with running_collector(directory) as collector:
            async with connected(collector.address) as channel:
                call = open_stream(channel)
                await call.write(FIRST)
                await collector.received(1)
                call.cancel()
                await collector.closed(1)
            await collector.finish()

    asyncio.run(play())
    (closing,) = closings(directory)
    assert closing["reason"] == "cancelled"
    assert closing["records"] == 1


def test_stream_whose_connection_is_cut_is_closed_as_cancelled(directory: Path) -> None:
    async def play() -> None:
        async with running_collector(directory) as collector:
            async with connected(collector.address) as channel:
                call = open_stream(channel)
                await call.write(FIRST)
                await collector.received(1)
            await collector.closed(1)
            await collector.finish()

    asyncio.run(play())
    assert [closing["reason"] for closing in closings(directory)] == ["cancelled"]


@pytest.mark.parametrize("size", [2_001, 4_000])
def test_message_over_the_limit_is_refused_and_its_stream_closed_with_the_reason(
    directory: Path, size: int
) -> None:
    async def play() -> None:
        async with running_collector(
            directory, options=options(message_bytes_max=2_000)
        ) as collector:
            async with connected(collector.address) as channel:
                call = open_stream(channel)
                await call.write(FIRST)
                await call.write(bytes(size))
                assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert f"a message of {size} bytes was refused" in await call.details()
                await send_all(channel, FIRST)
            await collector.finish()

    asyncio.run(play())
    refused, following = closings(directory)
    assert refused["reason"] == "error"
    assert refused["detail"] == f"a message of {size} bytes was refused, at most 2000 are taken"
    assert following["reason"] == "ended"


def test_message_over_the_hard_limit_is_refused_by_grpc_and_its_stream_closed(
    directory: Path,
) -> None:
    async def play() -> None:
        async with running_collector(
            directory, options=options(message_bytes_max=2_000)
        ) as collector:
            async with connected(collector.address) as channel:
                call = open_stream(channel)
                await call.write(FIRST)
                await collector.received(1)
                await call.write(bytes(4_001))
                assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "larger than max" in await call.details()
            await collector.finish()

    asyncio.run(play())
    (closing,) = closings(directory)
    assert closing["reason"] == "cancelled"
    assert "for a message over the hard limit of gRPC" in str(closing["detail"])


def test_streams_over_the_limit_are_refused_with_one_alarm_until_there_is_room(
    directory: Path,
) -> None:
    async def play() -> None:
        async with running_collector(directory, options=options(streams_max=2)) as collector:
            async with connected(collector.address) as channel:
                calls = [open_stream(channel) for _ in range(2)]
                for call in calls:
                    await call.write(FIRST)
                await collector.received(2)
                for _ in range(3):
                    refused = open_stream(channel)
                    assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                    assert "at most 2 streams at once" in await refused.details()
                assert collector.diag.alarms() == ["streams_refused"]
                await calls[0].done_writing()
                await calls[0]
                await send_all(channel, FIRST)
            await collector.finish()

    asyncio.run(play())
    entries = read_entries(directory)
    check_streams(entries)
    assert len(records(entries)) == 3


def test_other_methods_are_not_implemented(directory: Path) -> None:
    async def play() -> None:
        async with (
            running_collector(directory) as collector,
            connected(collector.address) as channel,
        ):
            other = f"{METHOD}Other"
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(other)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(play())


def test_port_that_is_taken_is_a_configuration_error(directory: Path) -> None:
    async def play() -> None:
        async with running_collector(directory) as first:
            taken = collect_options(grpc=first.address)
            async with running_collector(directory.with_name("second"), options=taken):
                pytest.fail("two collectors listen on one port")

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(play())
    assert caught.group_contains(ConfigError, match="is another process listening there")


class Mesh:
    """Certificates of a collector and of senders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "mesh")
        self.server = self.authority.issue("ns/mesh/sa/collector", is_named_localhost=True)

    def options(self) -> CollectOptions:
        return collect_options(
            tls_cert=self.server.chain,
            tls_key=self.server.key,
            tls_client_ca=self.authority.bundle,
        )

    def credentials(self, identity: Identity | None) -> grpc.ChannelCredentials:
        chain = identity.chain.read_bytes() if identity else None
        key = identity.key.read_bytes() if identity else None
        return grpc.ssl_channel_credentials(self.authority.bundle.read_bytes(), key, chain)


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    return Mesh(tmp_path)


def test_sender_with_a_certificate_of_the_mesh_is_authenticated(
    directory: Path, mesh: Mesh
) -> None:
    sender = mesh.authority.issue("ns/shop/sa/payments")

    async def play() -> None:
        async with running_collector(directory, options=mesh.options()) as collector:
            assert collector.diag.facts("collect_started")["security"] == "mTLS"
            async with connected(
                collector.address, credentials=mesh.credentials(sender)
            ) as channel:
                await send_all(channel, FIRST)
            await collector.finish()

    asyncio.run(play())
    ((opened, *_),) = by_stream(read_entries(directory))
    assert opened.json["auth"] == "mtls"
    assert opened.json["authenticated"]["spiffe_id"] == sender.spiffe_id
    assert len(opened.json["authenticated"]["certificate_sha256"]) == 64
    assert opened.json["claimed"]["node_id"] == "sidecar~10.0.0.7~pay.shop~shop"


def test_plaintext_sender_is_not_authenticated_and_the_entry_says_so(directory: Path) -> None:
    async def play() -> None:
        async with running_collector(directory) as collector:
            assert collector.diag.facts("collect_started")["security"] == "plaintext, loopback only"
            async with connected(collector.address) as channel:
                await send_all(channel, FIRST)
            await collector.finish()

    asyncio.run(play())
    ((opened, *_),) = by_stream(read_entries(directory))
    assert opened.json["auth"] == "none"
    assert opened.json["authenticated"] == {
        "spiffe_id": None,
        "certificate_sha256": None,
        "token": None,
        "reporters": None,
    }
    assert opened.json["peer"].startswith("127.0.0.1:")


def test_senders_without_a_certificate_of_the_mesh_are_refused_on_loopback_too(
    directory: Path, mesh: Mesh
) -> None:
    stranger = Authority(mesh.folder / "other").issue("ns/shop/sa/payments")

    async def play() -> None:
        async with running_collector(directory, options=mesh.options()) as collector:
            for credentials in (mesh.credentials(None), mesh.credentials(stranger), None):
                async with connected(collector.address, credentials=credentials) as channel:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await send_all(channel, FIRST)
                    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            await collector.finish()

    asyncio.run(play())
    assert by_stream(read_entries(directory)) == []


def test_renewed_certificate_is_used_for_the_next_connection(directory: Path, mesh: Mesh) -> None:
    sender = mesh.authority.issue("ns/shop/sa/payments")
    renewed = Authority(mesh.folder / "renewed")
    renewed_server = renewed.issue("ns/mesh/sa/collector", is_named_localhost=True)
    renewed_sender = renewed.issue("ns/shop/sa/payments")

    async def play() -> None:
        async with running_collector(directory, options=mesh.options()) as collector:
            async with connected(
                collector.address, credentials=mesh.credentials(sender)
            ) as channel:
                await send_all(channel, FIRST)
            mesh.server.chain.write_bytes(renewed_server.chain.read_bytes())
            mesh.server.key.write_bytes(renewed_server.key.read_bytes())
            mesh.authority.bundle.write_bytes(renewed.bundle.read_bytes())
            async with connected(
                collector.address, credentials=mesh.credentials(renewed_sender)
            ) as channel:
                await send_all(channel, FIRST)
            await collector.finish()

    asyncio.run(play())
    assert len(by_stream(read_entries(directory))) == 2
