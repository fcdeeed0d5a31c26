"""Certificates at the HTTP door, and beside it the gRPC one, good, bad and replaced."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import socket
import ssl
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest

from meshtrail.collect import CollectOptions
from meshtrail.collect.payloads import encode_json
from meshtrail.sources.streams import parse_stream_opened
from tests.collect_rig import connected
from tests.door_scene import expired, issue_below, without_key
from tests.http_door_scene import BODY, LOOPBACK, NOTHING_SHOWN, HttpScene, bearer, opening
from tests.otlp_rig import ask, call

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect_rig import Collector


SECONDS_MAX = 20.0


@pytest.fixture
def scene(tmp_path: Path) -> HttpScene:
    return HttpScene(tmp_path)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sender_with_a_certificate_of_the_mesh_is_attested(
    scene: HttpScene, version: ssl.TLSVersion
) -> None:
    tls = scene.client(scene.sender)
    tls.minimum_version = tls.maximum_version = version
    ((status, _, _),), streams = scene.ask_each(scene.options(is_mtls=True), {"tls": tls})
    assert status == 200
    opened = opening(streams)
    assert (opened["auth"], opened["transport"]) == ("mtls", "http")
    assert opened["authenticated"]["spiffe_id"] == scene.sender.spiffe_id
    der = ssl.PEM_cert_to_DER_cert(scene.sender.chain.read_text())
    assert opened["authenticated"]["certificate_sha256"] == hashlib.sha256(der).hexdigest()
    assert parse_stream_opened(encode_json(opened)).is_authenticated


@pytest.mark.parametrize("has_tokens", [False, True])
@pytest.mark.parametrize("shown", ["another CA", "expired"])
def test_sender_with_a_bad_certificate_is_refused_in_the_handshake(
    scene: HttpScene, tmp_path: Path, shown: str, *, has_tokens: bool
) -> None:
    text = scene.token(source="otlp")
    identity = {
        "another CA": scene.stranger.issue("ns/shop/sa/payments"),
        "expired": expired(scene.authority, tmp_path),
    }[shown]

    async def play(collector: Collector) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            # A token does not make good what the certificate says.
            await ask(collector, BODY, tls=scene.client(identity), **bearer(text))
        assert (await ask(collector, BODY, tls=scene.client(scene.sender)))[0] == 200

    opened = opening(scene.play(scene.options(is_mtls=True, has_tokens=has_tokens), play))
    assert opened["authenticated"]["spiffe_id"] == scene.sender.spiffe_id


def test_sender_without_a_certificate_is_refused_in_the_handshake(scene: HttpScene) -> None:
    async def play(collector: Collector) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(collector, BODY, tls=scene.client())

    assert scene.play(scene.options(is_mtls=True), play) == []


def test_sender_without_a_certificate_needs_a_token_where_there_are_any(scene: HttpScene) -> None:
    text = scene.token(source="otlp")
    options = scene.options(is_mtls=True, has_tokens=True)
    assert scene.refuse(options, tls=scene.client()) == NOTHING_SHOWN
    ((status, _, _),), streams = scene.ask_each(options, {"tls": scene.client(), **bearer(text)})
    assert status == 200
    assert opening(streams)["auth"] == "token"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificate_shown_without_its_key_is_refused_by_both_doors(
    scene: HttpScene, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    good, bad = (scene.client(one) for one in (scene.sender, without_key(scene.sender, tmp_path)))
    for tls in (good, bad):
        tls.minimum_version = tls.maximum_version = version
        tls.set_alpn_protocols(["h2"])

    async def play(collector: Collector) -> None:
        for door in doors(collector):
            await asyncio.to_thread(greet, door, good)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(greet, door, bad)

    assert scene.play(scene.options(is_mtls=True), play) == []


@pytest.mark.parametrize("trusted", ["root", "below"])
def test_authority_below_another_is_trusted_as_at_the_grpc_door(
    scene: HttpScene, tmp_path: Path, trusted: str
) -> None:
    below, sender = issue_below(scene.authority, tmp_path)
    files: dict[str, Any] = scene.tls()
    files["tls_client_ca"] = below if trusted == "below" else scene.authority.bundle
    options = CollectOptions(grpc=LOOPBACK, otlp_http=LOOPBACK, **files)

    async def play(collector: Collector) -> None:
        assert (await ask(collector, BODY, tls=scene.client(sender)))[0] == 200
        credentials = grpc.ssl_channel_credentials(
            scene.authority.bundle.read_bytes(),
            sender.key.read_bytes(),
            sender.chain.read_bytes(),
        )
        async with connected(collector.address, credentials=credentials) as channel:
            await call(channel, BODY)

    found = [opened.json for opened, *_ in scene.play(options, play)]
    assert [opened["auth"] for opened in found] == ["mtls", "mtls"]
    assert {opened["authenticated"]["spiffe_id"] for opened in found} == {sender.spiffe_id}


def test_tls_before_1_2_is_refused_by_both_doors(scene: HttpScene) -> None:
    with warnings.catch_warnings():
        # The library warns of what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        old = scene.client(scene.sender)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.set_alpn_protocols(["h2"])
        lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        lax.minimum_version = ssl.TLSVersion.TLSv1
        lax.set_ciphers("ALL:@SECLEVEL=0")
    lax.load_cert_chain(scene.server.chain, scene.server.key)
    # A server that takes it shows that this client can.
    assert meet(lax, old) == "TLSv1.1"

    async def play(collector: Collector) -> None:
        for door in doors(collector):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(greet, door, old)

    assert scene.play(scene.options(is_mtls=True), play) == []


def meet(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """The version that a server and a client agree on, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server),
    ]
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0].version()


def test_plaintext_client_of_a_tls_port_gets_no_answer_and_harms_nothing(scene: HttpScene) -> None:
    async def play(collector: Collector) -> None:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            await ask(collector, BODY)
        assert (await ask(collector, BODY, tls=scene.client(scene.sender)))[0] == 200

    streams = scene.play(scene.options(is_mtls=True), play)
    assert opening(streams)["auth"] == "mtls"
    assert scene.diag.alarms() == []


# ── certificates that are replaced while the collector runs ─────────────────────────────────────


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_replaced_certificates_are_taken_up_by_both_doors_and_end_old_sessions(
    scene: HttpScene, version: ssl.TLSVersion
) -> None:
    files, renew = scene.renewable()
    options = CollectOptions(grpc=LOOPBACK, otlp_http=LOOPBACK, **files)  # type: ignore[arg-type] # all of them are paths
    known, stranger = scene.sender, scene.stranger.issue("ns/shop/sa/payments")
    clients = {identity: scene.client(identity) for identity in (known, stranger)}
    for client in clients.values():
        client.minimum_version = client.maximum_version = version
        client.set_alpn_protocols(["h2"])
        # Who the server is does not matter here, so that only the server can refuse.
        client.verify_mode = ssl.CERT_NONE

    async def play(collector: Collector) -> None:
        before = {}
        for door in doors(collector):
            before[door] = await asyncio.to_thread(greet, door, clients[known])
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(greet, door, clients[stranger])
        renew(scene.stranger)
        for door in doors(collector):
            for session in (before[door].session, None):
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await asyncio.to_thread(greet, door, clients[known], session)
            after = await asyncio.to_thread(greet, door, clients[stranger])
            assert after.server_der != before[door].server_der

    assert scene.play(options, play) == []
    assert [name for _, name, _ in scene.diag.events].count("certificates_read") == 2


def doors(collector: Collector) -> tuple[str, str]:
    """The HTTP door and the gRPC door."""
    assert collector.otlp_http is not None
    return collector.otlp_http, collector.address


class Greeting(NamedTuple):
    session: ssl.SSLSession | None
    is_resumed: bool | None
    server_der: bytes | None


def greet(address: str, tls: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Greeting:
    """Shake hands and hear the first byte: only then a client knows that it was let in."""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=SECONDS_MAX) as plain,
        tls.wrap_socket(plain, session=session) as connection,
    ):
        # gRPC speaks first; to HTTP/1 this is a request that it refuses.
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        if not connection.recv(1):
            raise ConnectionResetError("closed without a word")
        server_der = connection.getpeercert(binary_form=True)
        return Greeting(connection.session, connection.session_reused, server_der)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed_so_that_each_connection_shows_its_certificate(
    scene: HttpScene, version: ssl.TLSVersion
) -> None:
    tls = scene.client(scene.sender)
    tls.minimum_version = tls.maximum_version = version
    greetings = []

    async def play(collector: Collector) -> None:
        door, _ = doors(collector)
        session = None
        for _ in range(2):
            greetings.append(await asyncio.to_thread(greet, door, tls, session))
            session = greetings[-1].session

    assert scene.play(scene.options(is_mtls=True), play) == []
    assert [greeting.is_resumed for greeting in greetings] == [False, False]


def test_bad_files_leave_the_certificates_in_use_and_good_ones_end_that(scene: HttpScene) -> None:
    files, renew = scene.renewable()
    options = CollectOptions(grpc=LOOPBACK, otlp_http=LOOPBACK, **files)  # type: ignore[arg-type] # all of them are paths
    other_key = scene.sender.key.read_bytes()
    tls = scene.client(scene.sender)

    async def play(collector: Collector) -> None:
        for spoil in (
            lambda: files["tls_cert"].write_text("half written"),
            files["tls_client_ca"].unlink,
            lambda: renew(scene.authority),
            lambda: files["tls_key"].write_bytes(other_key),
        ):
            spoil()
            assert (await ask(collector, BODY, tls=tls))[0] == 200

    streams = scene.play(options, play)
    assert len(streams) == 4
    assert scene.diag.alarms() == ["certificates_refused"] * 3
