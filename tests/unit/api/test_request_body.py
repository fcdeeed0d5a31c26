from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request

from meshtrail.api.request_body import read_json_body
from meshtrail.errors import RequestError

if TYPE_CHECKING:
    from starlette.types import Message

BYTES_MAX = 10


def read(*parts: bytes, kind: str | None = "application/json", is_whole: bool = True) -> bytes:
    async def run() -> bytes:
        waiting = list(parts)

        async def receive() -> Message:
            if not waiting:
                await asyncio.Event().wait()
            body = waiting.pop(0)
            return {
                "type": "http.request",
                "body": body,
                "more_body": bool(waiting) or not is_whole,
            }

        headers = [] if kind is None else [(b"content-type", kind.encode())]
        request = Request({"type": "http", "headers": headers}, receive)
        return await read_json_body(request, bytes_max=BYTES_MAX, seconds_max=0.05)

    return asyncio.run(run())


def refusal(*parts: bytes, kind: str | None = "application/json", is_whole: bool = True) -> object:
    with pytest.raises(RequestError) as caught:
        read(*parts, kind=kind, is_whole=is_whole)
    return caught.value.facts["http_status"]


def test_a_body_comes_in_parts_up_to_the_bound() -> None:
    assert read(b"12345", b"67890") == b"1234567890"
    assert read(b"{}", kind="Application/JSON; charset=utf-8") == b"{}"


def test_a_longer_body_is_refused_without_reading_on() -> None:
    assert refusal(b"12345", b"678901", b"never read") == 413


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded"])
def test_what_a_page_may_send_without_asking_is_refused(kind: str | None) -> None:
    assert refusal(b"{}", kind=kind) == 415


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    assert refusal(b"{", is_whole=False) == 408
