"""Webhooks that come over HTTP, over real connections to a collector."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.collect import http_door
from meshtrail.collect.options import WebhookOptions
from meshtrail.errors import ConfigError
from meshtrail.model.entry import EntryFlags, PayloadFormat
from tests.collect_rig import by_stream, collect_options, read_blobs, records
from tests.http_door_scene import LOOPBACK, HttpScene, opening
from tests.otlp_messages import export_of
from tests.otlp_rig import JSON, ask, play

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect import CollectOptions
    from tests.collect_rig import Collector, Entry
    from tests.otlp_rig import Answer

SECRET = b"It's a Secret to Everybody"
BODY = b'{"zen":"Speak like a human.", "ref":"refs/heads/main"}'
GITHUB = "/v1/webhooks/github"
GITLAB = "/v1/webhooks/gitlab"
HOOKSHOT = "GitHub-Hookshot/044aadd"


class WebhookScene(HttpScene):
    """Senders of webhooks, who know the secret, and who do not."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.secrets = {name: folder / name for name in ("github", "gitlab")}
        for path in self.secrets.values():
            path.write_bytes(SECRET + b"\n")
            path.chmod(0o600)

    def webhook_options(self, *names: str, **more: Any) -> CollectOptions:
        files = {f"{name}_secret_file": self.secrets[name] for name in names}
        return self.options(webhooks=WebhookOptions(**files), **more)

    def send(
        self, *asked: dict[str, Any], options: CollectOptions | None = None
    ) -> tuple[list[Answer], list[list[Entry]]]:
        """The answers to webhooks that come one by one, and the streams that they leave."""
        said = [{"path": GITHUB, "kind": JSON, "body": BODY, **one} for one in asked]
        return self.ask_each(options or self.webhook_options("github", "gitlab"), *said)


@pytest.fixture
def scene(tmp_path: Path) -> WebhookScene:
    return WebhookScene(tmp_path)


def signed(body: bytes = BODY, secret: bytes = SECRET, **more: Any) -> dict[str, Any]:
    """A webhook as GitHub sends it."""
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {
        "path": GITHUB,
        "body": body,
        "x_hub_signature_256": f"sha256={signature}",
        "x_github_event": "push",
        "x_github_delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "user_agent": HOOKSHOT,
        **more,
    }


def shown(token: bytes = SECRET, **more: Any) -> dict[str, Any]:
    """A webhook as GitLab sends it."""
    event = {"x_gitlab_event": "Push Hook", "user_agent": "GitLab/18"}
    return {"path": GITLAB, "x_gitlab_token": token.decode("latin-1"), **event, **more}


@pytest.mark.parametrize(
    ("asked", "payload_format", "name", "event"),
    [
        (signed(), PayloadFormat.GITHUB, "github", "push"),
        (shown(), PayloadFormat.GITLAB, "gitlab", "Push Hook"),
    ],
)
def test_a_webhook_of_who_knows_the_secret_is_sealed_whole(
    scene: WebhookScene,
    asked: dict[str, Any],
    payload_format: PayloadFormat,
    name: str,
    event: str,
) -> None:
    ((status, _, answer),), streams = scene.send(asked)
    assert (status, answer) == (200, b'{"records":1}')
    opened = opening(streams)
    assert (opened["service"], opened["auth"]) == (name, "signature")
    assert set(opened["authenticated"].values()) == {None}
    assert opened["claimed"]["log_name"] == event
    assert opened["claimed"]["user_agent"] == asked["user_agent"]
    record = streams[0][1]
    assert (record.payload, record.payload_format) == (BODY, payload_format)


def test_what_comes_in_other_bytes_than_were_signed_is_refused(scene: WebhookScene) -> None:
    answers, streams = scene.send(
        signed() | {"body": BODY + b"\n"},
        signed(secret=SECRET + b"!"),
        signed() | {"x_hub_signature_256": "sha256=" + "0" * 64},
        signed() | {"x_hub_signature_256": "sha1=" + "0" * 40},
        signed() | {"x_hub_signature_256": "\xff" * 71},
        shown(b"another"),
        shown(b"\xff" * 9),
        shown() | {"x_gitlab_token": ""},
    )
    assert [status for status, _, _ in answers] == [401] * 8
    assert {json.loads(answer)["code"] for _, _, answer in answers} == {16}
    assert streams == []
    told = [facts for _, event, facts in scene.diag.events if event == "sender_refused"]
    assert sum(int(str(one["refused_count"])) for one in told) == 8
    assert told[0]["source"] == "github"
    assert told[-1]["source"] == "gitlab"


def test_what_carries_no_signature_is_refused_before_it_is_read(
    scene: WebhookScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "BODY_SECONDS_MAX", 60)
    statuses = []

    async def play_it(collector: Collector) -> None:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        for path in (GITHUB, GITLAB):
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: {JSON}\r\n"
            writer.write(f"{head}content-length: 1000000\r\n\r\n".encode())
            statuses.append(await reader.readline())
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    assert scene.play(scene.webhook_options("github", "gitlab"), play_it) == []
    assert all(b" 401 " in status for status in statuses)
    assert len(statuses) == 2


def test_a_signature_is_of_the_body_however_it_was_packed(scene: WebhookScene) -> None:
    packed = gzip.compress(BODY)
    answers, streams = scene.send({**signed(), "body": packed, "content_encoding": "gzip"})
    assert answers[0][0] == 200
    assert records(streams[0]) == [BODY]


def test_a_webhook_that_is_delivered_again_is_flagged_whoever_brings_it(
    scene: WebhookScene,
) -> None:
    again = signed(x_github_delivery="another", user_agent="GitHub-Hookshot/1", x_github_event="x")
    _, streams = scene.send(signed(), again)
    assert [(records(stream), int(stream[1].flags)) for stream in streams] == [
        ([BODY], 0),
        ([BODY], int(EntryFlags.DUPLICATE)),
    ]


@pytest.mark.parametrize("event", ["", "a b\tc", "x" * 65, "püsh", "<script>"])
def test_an_event_that_is_no_name_is_left_out(scene: WebhookScene, event: str) -> None:
    answers, streams = scene.send(signed(x_github_event=event))
    assert answers[0][0] == 200
    assert opening(streams)["claimed"]["log_name"] is None


def test_what_differs_with_each_delivery_opens_no_stream(scene: WebhookScene) -> None:
    async def play_it(collector: Collector) -> None:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in range(5):
            body = b'{"number":%d}' % number
            asked = signed(body, x_github_delivery=f"{number}")
            head = f"POST {GITHUB} HTTP/1.1\r\nhost: h\r\ncontent-type: {JSON}\r\n"
            for name, value in asked.items():
                if name not in {"path", "body"}:
                    head += f"{name.replace('_', '-')}: {value}\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await reader.readuntil(b'{"records":1}')
        writer.close()
        await writer.wait_closed()

    (stream,) = scene.play(scene.webhook_options("github"), play_it)
    assert len(records(stream)) == 5


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"kind": "application/x-www-form-urlencoded"}, 415),
        ({"kind": "text/plain"}, 415),
        ({"method": "GET"}, 405),
        ({"origin": "http://evil.example"}, 403),
        ({"path": "/v1/webhooks/other"}, 404),
    ],
)
def test_what_is_no_webhook_is_refused(
    scene: WebhookScene, change: dict[str, Any], status: int
) -> None:
    answers, streams = scene.send({**signed(), **change})
    assert answers[0][0] == status
    assert streams == []


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_webhooks_without_a_secret_are_not_there_and_it_is_said_how_they_would_be(
    scene: WebhookScene, name: str
) -> None:
    (other,) = {"github", "gitlab"} - {name}
    asked = [signed(path=f"/v1/webhooks/{name}"), {**shown(), "path": f"/v1/webhooks/{name}"}]
    for options in (scene.options(), scene.webhook_options(other)):
        answers, streams = scene.send(*asked, options=options)
        assert streams == []
        assert [status for status, _, _ in answers] == [404, 404]
        assert f"{name}_secret_file in [collect.webhooks]" in answers[0][2].decode()


def test_a_secret_is_asked_for_where_others_show_certificates_or_tokens(
    scene: WebhookScene,
) -> None:
    scene.token(source="otlp")
    for more in ({"is_mtls": True}, {"is_tls": True, "has_tokens": True}):
        client = scene.client()
        options = scene.webhook_options("github", **more)
        answers, streams = scene.send(
            signed(tls=client),
            {"tls": client},
            # Who knows the secret may send webhooks with it, and nothing else.
            signed(tls=client, path="/v1/logs", kind="application/x-protobuf", body=export_of("a")),
            options=options,
        )
        assert [status for status, _, _ in answers] == [200, 401, 401]
        assert {stream[0].json["auth"] for stream in streams} == {"signature"}


def test_a_secret_that_others_can_read_is_refused_at_the_start(
    scene: WebhookScene, tmp_path: Path
) -> None:
    scene.secrets["github"].chmod(0o640)
    options = collect_options(webhooks=WebhookOptions(github_secret_file=scene.secrets["github"]))

    async def never(_: Collector) -> None:
        raise AssertionError

    with pytest.raises((ConfigError, ExceptionGroup)) as caught:
        play(tmp_path / "j" / "collect", never, webhooks=options.webhooks)
    error: BaseException = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConfigError)
    assert "has mode 0640" in error.message


def test_a_replaced_secret_counts_from_the_next_webhook_on(scene: WebhookScene) -> None:
    answers: list[Answer] = []

    async def play_it(collector: Collector) -> None:
        new = b"another secret"
        for secret in (SECRET, new, SECRET, new):
            if len(answers) == 2:
                other = scene.secrets["github"].with_name("new")
                other.write_bytes(new)
                other.chmod(0o600)
                other.replace(scene.secrets["github"])
            asked = signed(BODY + secret, secret)
            answers.append(await ask(collector, **{"kind": JSON, **asked}))

    scene.play(scene.webhook_options("github"), play_it)
    assert [status for status, _, _ in answers] == [200, 401, 401, 200]


def test_no_secret_is_told_or_kept_anywhere(scene: WebhookScene) -> None:
    answers, streams = scene.send(
        signed(), shown(), signed(secret=b"wrong-secret"), shown(b"wrong-secret")
    )
    proofs = [signed(secret=one)["x_hub_signature_256"] for one in (SECRET, b"wrong-secret")]
    kept = b"".join(path.read_bytes() for path in scene.journal.iterdir())
    blobs = b"".join(read_blobs(scene.journal))
    told = repr(scene.diag.events) + repr(answers)
    assert len(streams) == 2
    # The configuration is kept: where secrets lie, and nothing of them.
    assert b"github_secret_file" in blobs
    for secret in (SECRET, b"wrong-secret", *(proof.encode() for proof in proofs)):
        assert secret not in kept + blobs
        assert secret.decode() not in told


def test_strangers_take_one_share_of_what_may_be_under_way(
    scene: WebhookScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "BODY_SECONDS_MAX", 60)
    asked = signed()

    async def play_it(collector: Collector) -> None:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        writers = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST {GITHUB} HTTP/1.1\r\nhost: h\r\ncontent-type: {JSON}\r\n"
            head += f"x-hub-signature-256: {asked['x_hub_signature_256']}\r\n"
            writer.write(f"{head}expect: 100-continue\r\ncontent-length: 9\r\n\r\n".encode())
            assert b" 100 " in await reader.readline()
            writers.append(writer)
        # Half of all places are taken by what may be anybody's; the other half is free.
        assert (await ask(collector, **{"kind": JSON, **asked}))[0] == 429
        assert (await ask(collector, export_of("a")))[0] == 200
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    streams = scene.play(scene.webhook_options("github", otlp_requests_max=4), play_it)
    assert len(streams) == 1


def test_addresses_are_those_of_the_connections(scene: WebhookScene) -> None:
    _, streams = scene.send(signed(x_forwarded_for="10.1.1.1"))
    assert LOOPBACK.partition(":")[0] in opening(streams)["peer"]


def test_webhooks_are_taken_from_a_proxy_that_forwards_no_certificate(
    scene: WebhookScene,
) -> None:
    options = scene.webhook_options("github", xfcc_from=("127.0.0.1",))
    answers, streams = scene.send(signed(), {}, options=options)
    assert [status for status, _, _ in answers] == [200, 401]
    assert len(by_stream([entry for stream in streams for entry in stream])) == 1
