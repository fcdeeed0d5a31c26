"""Senders of OTLP over HTTP, what they show and what they are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshtrail.collect import CollectOptions
from meshtrail.sources.otlp_frame import Signal
from tests.door_scene import DoorScene
from tests.otlp_messages import (
    export_of,
    json_export,
)
from tests.otlp_rig import JSON, PROTOBUF, ask

if TYPE_CHECKING:
    import ssl

    from meshtrail.demo.authority import Identity
    from tests.collect_rig import Collector, Entry
    from tests.otlp_rig import Answer

LOOPBACK = "127.0.0.1:0"
BODY = export_of("a")
NOTHING_SHOWN = "neither a certificate nor a token was shown"


class HttpScene(DoorScene):
    """Senders of OTLP over HTTP."""

    def options(
        self, *, is_tls: bool = False, is_mtls: bool = False, has_tokens: bool = False, **more: Any
    ) -> CollectOptions:
        files: dict[str, Any] = self.tls() if is_tls or is_mtls else {}
        if is_mtls:
            files["tls_client_ca"] = self.authority.bundle
        if has_tokens:
            files["tokens"] = self.tokens
        return CollectOptions(grpc=LOOPBACK, otlp_http=LOOPBACK, **files, **more)

    def client(self, identity: Identity | None = None) -> ssl.SSLContext:
        return self.authority.client_context(identity)

    def ask_each(
        self, options: CollectOptions, *asked: dict[str, Any]
    ) -> tuple[list[Answer], list[list[Entry]]]:
        """The answers to requests that come one by one, and the streams that they leave."""
        answers = []

        async def play(collector: Collector) -> None:
            answers.extend([await ask(collector, **{"body": BODY, **one}) for one in asked])

        streams = self.play(options, play)
        return answers, streams

    def refuse(self, options: CollectOptions, **asked: Any) -> str:
        """Why a sender is sent away, unrecorded; the same in protobuf and in JSON."""
        bodies = {PROTOBUF: BODY, JSON: json_export(Signal.LOGS, "a")}
        asked_each = [{"kind": kind, "body": body, **asked} for kind, body in bodies.items()]
        answers, streams = self.ask_each(options, *asked_each)
        assert streams == []
        assert [status for status, _, _ in answers] == [401, 401]
        assert all("retry-after" not in headers for _, headers, _ in answers)
        said = json.loads(answers[1][2])
        assert said["code"] == 16
        assert said["message"].encode() in answers[0][2]
        assert "sender_refused" in self.diag.alarms()
        return str(said["message"])


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def opening(streams: list[list[Entry]]) -> dict[str, Any]:
    """What is noted of the one sender that was taken."""
    ((opened, *_),) = streams
    return opened.json
