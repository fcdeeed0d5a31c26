from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from starlette.responses import Response

from meshtrail.api.door import Door
from meshtrail.errors import MeshtrailError, QueryError, RollbackError, UnavailableError
from tests.unit.api.exchange import Client, Exchange, serving_client
from tests.unit.search.small_log import SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

R = TypeVar("R")


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def through_door(
    log: SmallLog,
    app: ASGIApp,
    test: Callable[[Client], Awaitable[R]],
    **options: Any,
) -> R:
    async def run() -> R:
        async with serving_client(log, **options) as client:
            client.app = Door(app, client.serving)
            return await test(client)

    return asyncio.run(run())


def failing(error: Exception, *, is_late: bool = False) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        if is_late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise error

    return app


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(b"here", headers={"cache-control": "max-age=1"})(scope, receive, send)


def test_every_answer_has_the_headers_that_keep_browsers_from_more(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        answer = await client.get("/")
        assert answer.body == b"here"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "max-age=1"
        assert "set-cookie" not in answer.headers
        refused = await client.get("/", {"host": "evil.example"})
        assert refused.headers["cache-control"] == "no-store"
        assert not [name for name in refused.headers if name.startswith("access-control")]

    through_door(log, answering, test)


def test_a_request_that_may_not_be_heard_never_reaches_a_handler(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        for headers, status in (
            ({"host": "evil.example"}, 421),
            ({"origin": "http://evil.example"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
        ):
            answer = await client.get("/", headers)
            assert answer.error == (status, "RequestError")

    through_door(log, failing(AssertionError("reached")), test)


def test_an_error_is_answered_by_its_name_and_counted(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        answer = await client.get("/")
        assert answer.error == (400, "QueryError")
        errors = client.serving.metrics.errors.labels("QueryError")
        assert errors._value.get() == 1.0
        assert client.diag.said == []

    through_door(log, failing(QueryError("wrong")), test)


def test_tampering_is_an_alarm(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        assert (await client.get("/")).error == (500, "RollbackError")
        ((name, facts),) = client.diag.said
        assert (name, facts["error"]) == ("tampering_found", "RollbackError")

    through_door(log, failing(RollbackError("older")), test)


def test_a_mistake_of_our_own_is_noted_and_its_details_are_nobodys(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        answer = await client.get("/")
        assert answer.error == (500, "InternalError")
        assert b"hush" not in answer.body
        assert client.diag.names() == ["request_failed"]

    through_door(log, failing(ValueError("hush")), test)


@pytest.mark.parametrize("error", [QueryError("late"), ValueError("late")])
def test_an_answer_that_fails_half_way_is_cut_and_never_ended_as_if_it_were_whole(
    log: SmallLog, error: Exception
) -> None:
    async def test(client: Client) -> None:
        answer = await client.get("/")
        assert (answer.status, answer.body) == (200, b"half")
        assert answer.was_cut
        assert not answer.is_over

    through_door(log, failing(error, is_late=True), test)


def test_a_reader_that_takes_nothing_is_cut_off_in_time(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        exchange = Exchange()
        exchange.held.clear()
        await client.run(exchange, "GET", "/")
        assert exchange.was_cut
        ((name, facts),) = client.diag.said
        assert (name, facts["reason"]) == ("reader_cut", "slow_reader")

    through_door(log, answering, test, reader_seconds_max=1)


def test_an_error_without_a_reason_is_cut_under_its_name(log: SmallLog) -> None:
    async def test(client: Client) -> None:
        await client.get("/")
        ((_, facts),) = client.diag.said
        assert facts["reason"] == "UnavailableError"

    error: MeshtrailError = UnavailableError("late")
    through_door(log, failing(error, is_late=True), test)
