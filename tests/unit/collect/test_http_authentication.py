"""Who is let in at the HTTP door, and who is not, over real connections to a collector."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.tokens import revoke_token
from meshtrail.collect.payloads import encode_json
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.streams import parse_stream_opened
from tests.collect_rig import records
from tests.http_door_scene import BODY, NOTHING_SHOWN, HttpScene, bearer, opening
from tests.otlp_messages import (
    attribute,
    export,
    field,
    json_export,
    record,
    resource_part,
)
from tests.otlp_rig import JSON, PROTOBUF

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect_rig import Collector


FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
XFCC = "x-forwarded-client-cert"
FORWARDED = f"By={FRONTEND};Hash={'ab' * 32};URI={FRONTEND}"
SECONDS_MAX = 20.0


@pytest.fixture
def scene(tmp_path: Path) -> HttpScene:
    return HttpScene(tmp_path)


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────


def test_sender_that_shows_nothing_is_refused_where_tokens_are_asked_for(scene: HttpScene) -> None:
    scene.token(source="otlp")
    assert scene.refuse(scene.options(has_tokens=True)) == NOTHING_SHOWN


def test_token_over_tls_names_its_sender_who_is_not_attested(scene: HttpScene) -> None:
    text = scene.token(source="otlp")
    options = scene.options(is_tls=True, has_tokens=True)
    _, streams = scene.ask_each(options, {"tls": scene.client(), **bearer(text)})
    opened = opening(streams)
    assert (opened["auth"], opened["authenticated"]["token"]) == ("token", "shop")
    assert not parse_stream_opened(encode_json(opened)).is_authenticated


def test_wrong_token_is_refused_and_told_nowhere(scene: HttpScene) -> None:
    text = scene.token(source="otlp")
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    said = scene.refuse(scene.options(has_tokens=True), **bearer(wrong))
    assert "unknown, revoked, or not its secret" in said
    for secret in (wrong, text, wrong.rpartition("_")[2]):
        assert secret not in repr(scene.diag.events) + said


def test_token_for_access_logs_is_refused_for_otlp(scene: HttpScene) -> None:
    text = scene.token(source="envoy-als")
    said = scene.refuse(scene.options(has_tokens=True), **bearer(text))
    assert "good for envoy-als, not for otlp" in said


def test_expired_token_is_refused_with_its_time(scene: HttpScene) -> None:
    text = scene.token(source="otlp", days=1, age_days=1)
    assert "expired on" in scene.refuse(scene.options(has_tokens=True), **bearer(text))


def test_token_is_refused_where_none_are_taken(scene: HttpScene) -> None:
    text = scene.token(source="otlp")
    assert scene.refuse(scene.options(), **bearer(text)) == "this collector takes no tokens"


def test_revoked_token_is_refused_with_the_next_request_of_its_connection(scene: HttpScene) -> None:
    text = scene.token(source="otlp")

    def ask_twice(address: str) -> list[int]:
        connection = http.client.HTTPConnection(address, timeout=SECONDS_MAX)
        statuses = []
        for _ in range(2):
            connection.request("POST", "/v1/logs", BODY, {"content-type": PROTOBUF, **bearer(text)})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
            if len(statuses) == 1:
                revoke_token(scene.tokens, "shop")
        connection.close()
        return statuses

    async def play(collector: Collector) -> None:
        assert collector.otlp_http is not None
        assert await asyncio.to_thread(ask_twice, collector.otlp_http) == [200, 401]

    (stream,) = scene.play(scene.options(has_tokens=True), play)
    assert len(records(stream)) == 1


# ── a proxy in front ────────────────────────────────────────────────────────────────────────────


def test_forwarded_certificate_of_a_listed_proxy_is_the_sender(scene: HttpScene) -> None:
    options = scene.options(xfcc_from=("127.0.0.1",))
    asked = {"x_forwarded_client_cert": f"Hash=00,{FORWARDED}"}
    _, streams = scene.ask_each(options, asked)
    opened = opening(streams)
    assert (opened["auth"], opened["authenticated"]["spiffe_id"]) == ("xfcc", FRONTEND)
    assert parse_stream_opened(encode_json(opened)).is_authenticated


def test_forwarded_certificate_of_an_unlisted_address_is_ignored(scene: HttpScene) -> None:
    options = scene.options(xfcc_from=("127.0.0.6", "10.0.0.0/8"))
    assert scene.refuse(options, x_forwarded_client_cert=FORWARDED) == NOTHING_SHOWN


def test_forwarded_certificate_does_not_replace_the_one_that_was_shown(scene: HttpScene) -> None:
    asked = {"tls": scene.client(scene.sender), "x_forwarded_client_cert": FORWARDED}
    _, streams = scene.ask_each(scene.options(is_mtls=True), asked)
    opened = opening(streams)
    assert opened["authenticated"]["spiffe_id"] == scene.sender.spiffe_id


@pytest.mark.parametrize("header", [{}, {"x_forwarded_client_cert": "URI"}])
def test_listed_proxy_that_forwards_nothing_good_is_refused(
    scene: HttpScene, header: dict[str, str]
) -> None:
    said = scene.refuse(scene.options(xfcc_from=("127.0.0.1",)), **header)
    assert XFCC in said


# ── lies ────────────────────────────────────────────────────────────────────────────────────────


LIES = {
    "k8s.namespace.name": "bank",
    "k8s.serviceaccount.name": "vault",
    "node_name": "sidecar~10.0.0.9~x.bank~bank.svc.cluster.local",
}
CONFLICT = (
    'claims namespace "bank", is of "shop"; '
    'claims service account "vault", is of "payments"; '
    'node id names namespace "bank", is of "shop"'
)


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_claims_against_the_certificate_are_sealed_and_flagged(scene: HttpScene, kind: str) -> None:
    body = lying_export(is_json=kind == JSON)
    asked = {"tls": scene.client(scene.sender), "body": body, "kind": kind}
    answers, streams = scene.ask_each(scene.options(is_mtls=True), asked)
    assert answers[0][0] == 200
    opened = opening(streams)
    assert opened["claimed"]["metadata"]["NAMESPACE"] == "bank"
    assert parse_stream_opened(encode_json(opened)).conflict == CONFLICT
    told = scene.diag.facts("sender_conflict")
    assert (told["conflict"], told["spiffe_id"]) == (CONFLICT, scene.sender.spiffe_id)
    assert len(records(streams[0])) == 1


def test_names_that_a_token_is_not_for_are_sealed_and_flagged(scene: HttpScene) -> None:
    text = scene.token(source="otlp")
    _, streams = scene.ask_each(scene.options(has_tokens=True), bearer(text))
    opened = opening(streams)
    conflict = 'node cluster "checkout" is none of token "shop"'
    assert parse_stream_opened(encode_json(opened)).conflict == conflict
    assert scene.diag.facts("sender_conflict")["token"] == "shop"


def lying_export(*, is_json: bool) -> bytes:
    """A record of a sender who says that it is another."""
    if not is_json:
        claims = b"".join(field(1, attribute(*lie)) for lie in LIES.items())
        return export(resource_part([record()], of=claims))
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in LIES.items()]
    said = json.loads(json_export(Signal.LOGS, "a"))
    said["resourceLogs"][0]["resource"]["attributes"] = attributes
    return json.dumps(said).encode()
