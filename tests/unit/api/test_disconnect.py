from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from starlette.requests import ClientDisconnect

from meshtrail.api.disconnect import run_while_connected
from meshtrail.errors import QueryError

if TYPE_CHECKING:
    from starlette.types import Message


class Client:
    """Says nothing until it goes."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.body: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive(self) -> Message:
        if self.body:
            return self.body.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}


def test_work_gives_its_result_while_the_client_is_there() -> None:
    async def run() -> None:
        async def work() -> int:
            await asyncio.sleep(0)
            return 7

        assert await run_while_connected(Client().receive, work()) == 7

    asyncio.run(run())


def test_an_error_of_the_work_comes_as_it_is() -> None:
    async def run() -> None:
        async def work() -> None:
            await asyncio.sleep(0)
            raise QueryError("wrong")

        with pytest.raises(QueryError, match="wrong"):
            await run_while_connected(Client().receive, work())

    asyncio.run(run())


def test_work_is_cancelled_when_the_client_goes() -> None:
    async def run() -> None:
        client = Client()
        ended: list[str] = []

        async def work() -> None:
            client.gone.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cleaned up")

        with pytest.raises(ClientDisconnect):
            await run_while_connected(client.receive, work())
        assert ended == ["cleaned up"]

    asyncio.run(run())


def test_who_is_cancelled_from_outside_takes_the_work_along() -> None:
    async def run() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(run_while_connected(Client().receive, work()))
            await begun.wait()
            running.cancel()
        assert ended.is_set()

    asyncio.run(run())
