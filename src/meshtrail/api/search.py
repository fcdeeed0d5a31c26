"""``/api/search``: one search, its rows in the form that was asked for; and its plan."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from meshtrail.api.disconnect import run_while_connected
from meshtrail.api.found_rows import FoundRows
from meshtrail.api.request_body import read_json_body
from meshtrail.api.row_forms import AnswerFacts, make_form
from meshtrail.api.search_body import check_limit, parse_search_body, parse_search_query
from meshtrail.api.search_pool import Closable
from meshtrail.correlate.completeness import read_completeness
from meshtrail.errors import BudgetError, BusyError, MeshtrailError, QueryError, TamperError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from meshtrail.api.row_forms import RowForm
    from meshtrail.api.search_body import SearchBody
    from meshtrail.api.search_pool import SearchPlace, SearchPool
    from meshtrail.api.serving import Serving
    from meshtrail.app.sql_runner import SqlRunner
    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos

S = TypeVar("S", bound=Closable)

_CHUNK_BYTES: Final = 1 << 16
_OUTCOMES: Final = (
    (ClientDisconnect, "cancelled"),
    (asyncio.CancelledError, "cancelled"),
    (QueryError, "query_error"),
    (BusyError, "busy"),
    (BudgetError, "budget"),
    (TamperError, "tamper"),
    (MeshtrailError, "error"),
)


async def search_by_query(request: Request, serving: Serving) -> SearchAnswer:
    """A search whose parts stand in the query string."""
    body = parse_search_query(request.query_params.multi_items())
    return _make_answer(body, serving)


async def search_by_body(request: Request, serving: Serving) -> SearchAnswer:
    """A search as a JSON body, or SQL."""
    data = await read_json_body(request, bytes_max=serving.options.body_bytes_max)
    return _make_answer(parse_search_body(data), serving)


async def explain_search(request: Request, serving: Serving) -> Response:
    """What a search would read, without reading it."""
    body = parse_search_query(request.query_params.multi_items())
    check_limit(body, rows_max=serving.options.rows_max)
    now_ns = serving.clock.wall_ns()
    search = body.make_request(now_ns=now_ns)

    async def plan() -> dict[str, Any]:
        async with serving.searches.place() as place:
            return await place.call(lambda searcher: searcher.plan(search, now_ns=now_ns).explain())

    told = await run_while_connected(request.receive, plan())
    # The search itself asks for one row more.
    return Response(
        msgspec.json.encode({**told, "limit": body.limit}), media_type="application/json"
    )


def _make_answer(body: SearchBody, serving: Serving) -> SearchAnswer:
    check_limit(body, rows_max=serving.options.rows_max)
    return SearchAnswer(body, serving)


class SearchAnswer(Response):
    """Runs a search and sends what it finds. What goes wrong before the first byte is raised."""

    def __init__(self, body: SearchBody, serving: Serving) -> None:
        super().__init__()
        self._ask = body
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Answer; a search whose client goes is stopped."""
        metrics = self._serving.metrics
        begun = time.monotonic()
        outcome = "ok"
        try:
            await run_while_connected(receive, self._run(send))
        except BaseException as error:
            outcome = next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "error")
            raise
        finally:
            metrics.searches.labels(outcome).inc()
            metrics.search_seconds.observe(time.monotonic() - begun)

    async def _run(self, send: Send) -> None:
        now_ns = self._serving.clock.wall_ns()
        if self._ask.sql is None:
            await self._run_in(self._serving.searches, partial(_find, self._ask, now_ns), send)
        else:
            await self._run_in(self._serving.sql, partial(_run_sql, self._ask, now_ns), send)

    async def _run_in(
        self, pool: SearchPool[S], begin: Callable[[S], FoundRows], send: Send
    ) -> None:
        form = make_form(self._ask.format)
        async with pool.place() as place:
            rows = await place.call(begin)
            place.adopt(rows)
            parts = _form_rows(place, rows, form)
            headers = {"content-type": form.media_type, **rows.facts.as_headers()}
            if not form.is_whole:
                await self._send(send, parts, headers)
                return
            whole = await _join(parts, bytes_max=self._serving.options.answer_bytes_max)
        # The place is free again: a slow reader keeps nobody else from searching.
        await self._send(send, _cut(whole), {**headers, "content-length": str(len(whole))})

    async def _send(self, send: Send, parts: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        first = await anext(parts, b"")
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _find(ask: SearchBody, now_ns: UnixNanos, searcher: Searcher) -> FoundRows:
    """Plan and start a search."""
    request = ask.make_request(now_ns=now_ns)
    plan = searcher.plan(request, now_ns=now_ns)
    account = read_completeness(searcher, request.period, now_ns=now_ns)
    checkpoint = plan.catalogue.checkpoint
    facts = AnswerFacts(
        log=plan.catalogue.origin,
        tree_size=plan.catalogue.tree_size,
        checkpoint_size=None if checkpoint is None else checkpoint.tree_size,
        root_hash=None if checkpoint is None else checkpoint.root_hash.hex(),
        completeness=account.summary(),
    )
    return FoundRows(facts, searcher.find(plan), limit=ask.limit)


def _run_sql(ask: SearchBody, now_ns: UnixNanos, runner: SqlRunner) -> FoundRows:
    """Start what a person wrote."""
    found = runner.run_sql(ask.sql or "", ask.make_period(now_ns=now_ns))
    facts = AnswerFacts(
        log=found.log,
        tree_size=found.tree_size,
        checkpoint_size=found.checkpoint_size,
        root_hash=found.root_hash,
    )
    return FoundRows(facts, found.batches, limit=ask.limit)


async def _form_rows(place: SearchPlace[S], rows: FoundRows, form: RowForm) -> AsyncIterator[bytes]:
    """The parts of an answer, each as soon as it is there; never an empty one."""

    def read(_: S) -> bytes | None:
        batch = rows.read()
        return None if batch is None else form.add(batch)

    if head := form.begin(rows.facts, rows.schema):
        yield head
    while (part := await place.call(read)) is not None:
        if part:
            yield part
    if tail := form.end(found=rows.found, has_more=rows.has_more):
        yield tail


async def _join(parts: AsyncIterator[bytes], *, bytes_max: int) -> bytes:
    """All parts in one piece.

    Raises:
        BudgetError: they are too many.
    """
    whole = bytearray()
    async for part in parts:
        whole += part
        if len(whole) > bytes_max:
            raise BudgetError(
                f"the answer has more than {bytes_max >> 20} MiB: ask for fewer rows or columns, "
                "or for ndjson or arrow, which are sent as they are found",
                bytes_max=bytes_max,
            )
    return bytes(whole)


async def _cut(whole: bytes) -> AsyncIterator[bytes]:
    """Pieces that are sent one after the other, so that not all waits in the connection."""
    for start in range(0, len(whole), _CHUNK_BYTES):
        yield whole[start : start + _CHUNK_BYTES]
