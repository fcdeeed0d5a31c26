"""Who is let in, and who is not, over real connections to a collector."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from envoy.service.accesslog.v3 import als_pb2

from meshtrail.app.tokens import revoke_token
from meshtrail.collect import CollectOptions
from meshtrail.collect.payloads import encode_json
from meshtrail.collect.sender_refusals import TELL_EVERY_NS
from meshtrail.sources.streams import parse_stream_opened
from tests.als_messages import als_message, http_record, identifier
from tests.collect_rig import (
    METHOD,
    Collector,
    connected,
)
from tests.door_scene import DoorScene, expired
from tests.otlp_messages import export_of
from tests.otlp_rig import call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from meshtrail.demo.authority import Identity

LOOPBACK = "127.0.0.1:0"
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
XFCC = "x-forwarded-client-cert"
FORWARDED = (XFCC, f"By={FRONTEND};Hash={'ab' * 32};URI={FRONTEND}")
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
SECONDS_MAX = 20.0
SOURCES = ("envoy-als", "otlp")


class Scene(DoorScene):
    """Senders of access logs."""

    def mtls(self) -> CollectOptions:
        return CollectOptions(grpc=LOOPBACK, **self.tls(), tls_client_ca=self.authority.bundle)  # type: ignore[arg-type] # all of them are paths

    def credentials(self, identity: Identity | None) -> grpc.ChannelCredentials:
        chain = identity.chain.read_bytes() if identity else None
        key = identity.key.read_bytes() if identity else None
        return grpc.ssl_channel_credentials(self.authority.bundle.read_bytes(), key, chain)

    def send(
        self, options: CollectOptions, *headers: tuple[str, str], claims: bytes = identifier()
    ) -> dict[str, Any]:
        """What is noted of a sender that shows these headers in plaintext."""

        async def play(collector: Collector) -> None:
            await send_one(collector.address, headers, claims=claims)

        ((opened, *_),) = self.play(options, play)
        return opened.json

    def refuse(self, options: CollectOptions, *headers: tuple[str, str]) -> str:
        """Why a sender that shows these headers in plaintext is sent away, unrecorded."""
        said = []

        async def play(collector: Collector) -> None:
            said.append(await find_refusal(collector.address, headers))

        assert self.play(options, play) == []
        assert "sender_refused" in self.diag.alarms()
        (reason,) = said
        return reason


async def send_one(
    address: str,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    credentials: grpc.ChannelCredentials | None = None,
    claims: bytes = identifier(),
) -> None:
    """Send one message, which is taken."""

    async def messages() -> AsyncIterator[bytes]:
        yield als_message(claims=claims, http=[http_record("/x")])

    async with connected(address, credentials=credentials) as channel:
        call = start(channel, messages(), headers)
        assert await call.code() is grpc.StatusCode.OK, await call.details()


async def find_refusal(
    address: str,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    credentials: grpc.ChannelCredentials | None = None,
    code: grpc.StatusCode = UNAUTHENTICATED,
) -> str:
    """Why a sender is sent away, with that status, before it has sent anything."""
    async with connected(address, credentials=credentials) as channel:
        call = start(channel, nothing_more(), headers)
        assert await call.code() is code
        return str(await call.details())


def start(
    channel: grpc.aio.Channel,
    messages: AsyncIterator[bytes],
    headers: tuple[tuple[str, str], ...],
) -> grpc.aio.StreamUnaryCall[bytes, bytes]:
    method: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(METHOD)
    return method(messages, metadata=grpc.aio.Metadata(*headers), timeout=SECONDS_MAX)


async def nothing_more() -> AsyncIterator[bytes]:
    """Send nothing, and do not end: a write into a call that is over hides why it is."""
    await asyncio.Event().wait()
    yield b""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def bearer(text: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {text}")


@pytest.mark.parametrize("shown", ["nothing", "another CA", "expired", "plaintext"])
def test_sender_without_a_good_certificate_is_refused_in_the_handshake(
    scene: Scene, tmp_path: Path, shown: str
) -> None:
    credentials = {
        "nothing": scene.credentials(None),
        "another CA": scene.credentials(scene.stranger.issue("ns/shop/sa/payments")),
        "expired": scene.credentials(expired(scene.authority, tmp_path)),
        "plaintext": None,
    }[shown]

    async def play(collector: Collector) -> None:
        unavailable = grpc.StatusCode.UNAVAILABLE
        await find_refusal(collector.address, credentials=credentials, code=unavailable)
        await send_one(collector.address, credentials=scene.credentials(scene.sender))

    ((opened, *_),) = scene.play(scene.mtls(), play)
    assert opened.json["authenticated"]["spiffe_id"] == scene.sender.spiffe_id


def test_sender_with_a_token_over_tls_needs_no_certificate(scene: Scene) -> None:
    text = scene.token()
    options = CollectOptions(grpc=LOOPBACK, **scene.tls(), tokens=scene.tokens)  # type: ignore[arg-type] # all of them are paths

    async def play(collector: Collector) -> None:
        credentials = scene.credentials(None)
        assert "neither" in await find_refusal(collector.address, credentials=credentials)
        await send_one(collector.address, (bearer(text),), credentials=credentials)

    ((opened, *_),) = scene.play(options, play)
    assert opened.json["auth"] == "token"
    assert opened.json["authenticated"] == {
        "spiffe_id": None,
        "certificate_sha256": None,
        "token": "shop",
        "reporters": ["shop-*"],
    }


def test_unauthenticated_sender_is_refused_on_loopback_where_tokens_are_asked_for(
    scene: Scene,
) -> None:
    scene.token()
    options = CollectOptions(grpc=LOOPBACK, tokens=scene.tokens)
    assert scene.refuse(options) == "neither a certificate nor a token was shown"


@pytest.mark.parametrize("is_stopped", [False, True])
def test_refusal_is_told_by_itself_when_no_other_follows(scene: Scene, is_stopped: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    scene.token()

    async def play(collector: Collector) -> None:
        for _ in range(3):
            await find_refusal(collector.address)
        assert collector.diag.facts("sender_refused")["refused_count"] == 1
        collector.diag.events.clear()
        if is_stopped:
            await collector.finish()
        else:
            collector.clock.advance(TELL_EVERY_NS)
        async with asyncio.timeout(SECONDS_MAX):
            await collector.diag.heard("sender_refused")

    assert scene.play(CollectOptions(grpc=LOOPBACK, tokens=scene.tokens), play) == []
    assert scene.diag.facts("sender_refused")["refused_count"] == 2


def test_wrong_token_is_refused(scene: Scene) -> None:
    text = scene.token()
    options = CollectOptions(grpc=LOOPBACK, tokens=scene.tokens)
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    assert "unknown, revoked, or not its secret" in scene.refuse(options, bearer(wrong))
    assert wrong not in repr(scene.diag.events)


def test_token_is_refused_where_no_tokens_are_configured(scene: Scene) -> None:
    text = scene.token()
    said = scene.refuse(CollectOptions(grpc=LOOPBACK), bearer(text))
    assert said == "this collector takes no tokens"


def test_token_of_another_source_is_refused(scene: Scene) -> None:
    text = scene.token(source="otlp")
    options = CollectOptions(grpc=LOOPBACK, tokens=scene.tokens)
    assert "good for otlp, not for envoy-als" in scene.refuse(options, bearer(text))


def test_expired_token_is_refused(scene: Scene) -> None:
    text = scene.token(days=1, age_days=1)
    options = CollectOptions(grpc=LOOPBACK, tokens=scene.tokens)
    assert "token shop (" in (said := scene.refuse(options, bearer(text)))
    assert "expired on" in said


def test_revoked_token_is_refused_for_the_next_stream(scene: Scene) -> None:
    text = scene.token()
    options = CollectOptions(grpc=LOOPBACK, tokens=scene.tokens)

    async def play(collector: Collector) -> None:
        await send_one(collector.address, (bearer(text),))
        revoke_token(scene.tokens, "shop")
        assert "revoked" in await find_refusal(collector.address, (bearer(text),))

    assert len(scene.play(options, play)) == 1


def test_open_stream_of_a_revoked_token_ends_with_its_next_message(scene: Scene) -> None:
    text = scene.token()
    options = CollectOptions(grpc=LOOPBACK, tokens=scene.tokens)

    async def play(collector: Collector) -> None:
        async def messages() -> AsyncIterator[bytes]:
            yield als_message(claims=identifier("shop-1"), http=[http_record("/1")])
            await collector.received(1)
            revoke_token(scene.tokens, "shop")
            yield als_message(http=[http_record("/2")])
            await asyncio.Event().wait()

        async with connected(collector.address) as channel:
            call = start(channel, messages(), (bearer(text),))
            assert await call.code() is UNAUTHENTICATED
            assert "revoked" in str(await call.details())

    ((_, *records, closed),) = scene.play(options, play)
    assert [record.payload for record in records] == [http_record("/1")]
    assert closed.json["reason"] == "error"
    assert "token shop (" in closed.json["detail"]


def test_forwarded_certificate_of_a_listed_proxy_is_the_sender(scene: Scene) -> None:
    options = CollectOptions(grpc=LOOPBACK, xfcc_from=("127.0.0.1",))
    opened = scene.send(options, (XFCC, "Hash=00"), FORWARDED)
    assert opened["auth"] == "xfcc"
    assert opened["authenticated"]["spiffe_id"] == FRONTEND
    assert opened["authenticated"]["certificate_sha256"] == "ab" * 32
    assert parse_stream_opened(encode_json(opened)).is_authenticated


def test_forwarded_certificate_of_an_unlisted_address_is_ignored(scene: Scene) -> None:
    options = CollectOptions(grpc=LOOPBACK, xfcc_from=("127.0.0.6", "10.0.0.0/8"))
    assert scene.refuse(options, FORWARDED) == "neither a certificate nor a token was shown"


def test_forwarded_certificate_where_no_proxy_is_listed_authenticates_nobody(scene: Scene) -> None:
    opened = scene.send(CollectOptions(grpc=LOOPBACK), FORWARDED)
    assert (opened["auth"], opened["authenticated"]["spiffe_id"]) == ("none", None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("URI", "no key=value"), (f'Subject="x;URI={FRONTEND}', "neither comma nor semicolon")],
)
def test_malformed_forwarded_certificate_is_refused(scene: Scene, value: str, reason: str) -> None:
    options = CollectOptions(grpc=LOOPBACK, xfcc_from=("127.0.0.1",))
    assert reason in scene.refuse(options, (XFCC, value))


def test_listed_proxy_without_the_header_is_refused(scene: Scene) -> None:
    options = CollectOptions(grpc=LOOPBACK, xfcc_from=("127.0.0.0/8",))
    assert scene.refuse(options) == f"a proxy that forwards certificates sent no {XFCC}"


def test_lying_node_metadata_is_recorded_and_flagged(scene: Scene) -> None:
    message = als_pb2.StreamAccessLogsMessage.Identifier()
    message.node.id = "sidecar~10.0.0.9~x.bank~bank.svc.cluster.local"
    message.node.metadata["NAMESPACE"] = "bank"
    message.node.metadata["SERVICE_ACCOUNT"] = "payments"
    options = CollectOptions(grpc=LOOPBACK, xfcc_from=("127.0.0.1",))
    opened = scene.send(options, FORWARDED, claims=message.SerializeToString())
    assert opened["claimed"]["metadata"]["NAMESPACE"] == "bank"
    conflict = (
        'claims namespace "bank", is of "shop"; '
        'claims service account "payments", is of "frontend"; '
        'node id names namespace "bank", is of "shop"'
    )
    assert parse_stream_opened(encode_json(opened)).conflict == conflict
    told = scene.diag.facts("sender_conflict")
    assert (told["conflict"], told["spiffe_id"]) == (conflict, FRONTEND)


def test_names_that_a_token_is_not_for_are_recorded_and_flagged(scene: Scene) -> None:
    text = scene.token()
    options = CollectOptions(grpc=LOOPBACK, tokens=scene.tokens)
    opened = scene.send(options, bearer(text), claims=identifier("shop-1"))
    assert opened["claimed"]["node_id"] == "shop-1"
    conflict = 'node cluster "payments.shop" is none of token "shop"'
    assert parse_stream_opened(encode_json(opened)).conflict == conflict
    assert scene.diag.facts("sender_conflict")["token"] == "shop"


def test_call_of_otlp_with_a_token_for_access_logs_is_refused(scene: Scene) -> None:
    headers = {source: bearer(scene.token(source, source=source)) for source in SOURCES}

    async def play(collector: Collector) -> None:
        async with connected(collector.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(channel, export_of("a"), metadata=(headers["envoy-als"],))
            assert caught.value.code() is UNAUTHENTICATED
            assert "good for envoy-als, not for otlp" in str(caught.value.details())
            await call(channel, export_of("b"), metadata=(headers["otlp"],))

    ((opened, *_),) = scene.play(CollectOptions(grpc=LOOPBACK, tokens=scene.tokens), play)
    assert opened.json["authenticated"]["token"] == "otlp"


def test_sender_of_otlp_with_a_certificate_is_known_by_it(scene: Scene) -> None:
    async def play(collector: Collector) -> None:
        credentials = scene.credentials(scene.sender)
        async with connected(collector.address, credentials=credentials) as channel:
            await call(channel, export_of("a"), metadata=(FORWARDED,))

    ((opened, *_),) = scene.play(scene.mtls(), play)
    assert (opened.json["auth"], opened.json["transport"]) == ("mtls", "grpc")
    assert opened.json["authenticated"]["spiffe_id"] == scene.sender.spiffe_id
