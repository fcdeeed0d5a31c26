"""``GET /api/tail``: what is newly sealed and matches, as server-sent events.

The log itself is the queue. Each reader is served from the files at its own pace, so nothing is
dropped and nothing piles up; one that takes nothing at all is cut off. The id of an event is its
``log_index``: whoever comes back with ``Last-Event-ID`` goes on behind it, without loss or repeat.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from meshtrail.api.disconnect import run_while_connected
from meshtrail.api.error_answers import encode_error
from meshtrail.api.search_body import find_columns, read_parameters, split_names
from meshtrail.errors import BusyError, MeshtrailError, RequestError, UnavailableError
from meshtrail.search.plan import SearchRequest
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from meshtrail.api.serving import Serving
    from meshtrail.api.span_reader import Span

HEARTBEAT_SECONDS: Final = 15.0
RETRY_MS: Final = 1_000

_INDEX = re.compile(r"[0-9]{1,19}")
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


async def follow_log(request: Request, serving: Serving) -> TailAnswer:
    """A live tail."""
    given = read_parameters(request.query_params.multi_items(), {"q", "columns", "from_index"})
    search = SearchRequest(
        query=given.get("q", ""), columns=find_columns(split_names(given.get("columns", "")))
    )
    last = request.headers.get("last-event-id")
    start = None
    if last is not None:
        # Before the first entry of an empty log stands -1.
        start = 0 if last == "-1" else _parse_index(last, "Last-Event-ID") + 1
    elif "from_index" in given:
        start = _parse_index(given["from_index"], "from_index")
    return TailAnswer(search, serving, start=start)


def _parse_index(text: str, name: str) -> int:
    if not _INDEX.fullmatch(text) or int(text) >= INT64_MAX:
        raise RequestError(f"{name} is a log_index, got {text[:80]!r}", parameter=name)
    return int(text)


class TailAnswer(Response):
    """Sends what matches until the client goes, or this process ends."""

    def __init__(self, search: SearchRequest, serving: Serving, *, start: int | None) -> None:
        super().__init__()
        self._search = search
        self._serving = serving
        self._start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Answer."""
        serving = self._serving
        metrics = serving.metrics
        if len(serving.tails) >= serving.options.tails_max:
            raise BusyError(
                f"{serving.options.tails_max} live tails are open, which is as many as may: "
                "try again"
            )
        serving.tails.add(self)
        reason = "stopping"
        try:
            await run_while_connected(receive, self._follow(send))
        except ClientDisconnect:
            reason = "client_gone"
            raise
        except UnavailableError as error:
            reason = str(error.facts.get("reason", type(error).__name__))
            raise
        except BaseException as error:
            reason = type(error).__name__
            raise
        finally:
            serving.tails.discard(self)
            metrics.tails_ended.labels(reason).inc()

    async def _follow(self, send: Send) -> None:
        heads = self._serving.heads
        at = self._start
        if at is None:
            at = await heads.read_size()
        # Once before the head of the answer, so that a query nobody understands is a plain error.
        span = await self._read(at, tree_size=0)
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        try:
            await _send_text(send, f"retry: {RETRY_MS}\n{_position(at)}\n")
            at = await self._send_span(send, span, at)
            while True:
                tree_size = await heads.wait_beyond(at, seconds_max=HEARTBEAT_SECONDS)
                if tree_size is not None:
                    at = await self._send_span(send, await self._read(at, tree_size=tree_size), at)
                elif self._serving.stopping.is_set():
                    break
                else:
                    await _send_text(send, f": heartbeat\n{_position(at)}\n")
        except MeshtrailError as error:
            if isinstance(error, UnavailableError) and error.facts.get("reason"):
                raise
            await self._send_last(send, "problem", encode_error(error).decode())
            raise
        await self._send_last(send, "end", '{"reason":"stopping"}')

    async def _read(self, start: int, *, tree_size: int) -> Span:
        serving = self._serving
        async with serving.following.place() as place:
            return await place.call(
                lambda searcher: serving.spans.read(
                    searcher,
                    self._search,
                    start=start,
                    tree_size=tree_size,
                    now_ns=serving.clock.wall_ns(),
                )
            )

    async def _send_span(self, send: Send, span: Span, at: int) -> int:
        if span.rows:
            events = "".join(f"id: {index}\ndata: {row}\n\n" for index, row in span.rows)
            await _send_text(send, events)
            self._serving.metrics.tail_events.inc(len(span.rows))
        return max(span.end, at)

    async def _send_last(self, send: Send, event: str, data: str) -> None:
        await _send_text(send, f"event: {event}\ndata: {data}\n\n", is_last=True)


def _position(at: int) -> str:
    """A field that moves the reader's Last-Event-ID on without an event."""
    return f"id: {at - 1}\n"


async def _send_text(send: Send, text: str, *, is_last: bool = False) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": not is_last})
