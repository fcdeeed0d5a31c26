"""Requests to the application in this process, over ASGI: what is sent can be held back, and the
client can go at any moment.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from meshtrail.api.routes import make_application
from meshtrail.api.serving import open_serving
from meshtrail.config import ServeOptions
from meshtrail.http.connection import ABORT
from meshtrail.units import UnixNanos
from meshtrail.verify.pins import KeySource, TrustedKey
from tests.unit.search.small_log import FIRST_NS, STEP_NS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message

    from meshtrail.api.serving import Serving
    from tests.unit.search.small_log import SmallLog

SECONDS_MAX = 20.0


class FixedClock:
    """A wall clock that stands at an hour after the first entry."""

    def wall_ns(self) -> UnixNanos:
        return UnixNanos(FIRST_NS + 3_600 * STEP_NS)

    def monotonic_ns(self) -> int:
        return 0


class FakeDiag:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **facts: object) -> None:
        self.said.append((event, facts))

    warning = error = exception = info

    def names(self) -> list[str]:
        return [name for name, _ in self.said]


@dataclass
class Exchange:
    """One request and what came of it.

    Attributes:
        status: of the answer, once it was begun.
        held: while it is cleared, the reader takes nothing.
        was_cut: whether the connection was cut.
    """

    messages: list[Message] = field(default_factory=list)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_over: bool = False
    was_cut: bool = False

    def __post_init__(self) -> None:
        self.held = asyncio.Event()
        self.held.set()
        self._changed = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def json(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def error(self) -> tuple[int, str]:
        """Status and the name of the error."""
        return self.status, self.json["error"]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines()]

    def events(self) -> list[tuple[int, dict[str, Any]]]:
        """The server-sent events so far: (id, data)."""
        found = []
        for block in self.body.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "data" in fields and "event" not in fields:
                found.append((int(fields["id"]), json.loads(fields["data"])))
        return found

    def leave(self) -> None:
        """The client closes its connection."""
        self._gone.set()

    async def until(self, what: bytes) -> None:
        """Wait until the body holds something."""
        async with asyncio.timeout(SECONDS_MAX):
            while what not in self.body:
                self._changed.clear()
                await self._changed.wait()

    async def until_events(self, count: int) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while len(self.events()) < count:
                self._changed.clear()
                await self._changed.wait()

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.held.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {
                name.decode(): value.decode("latin-1") for name, value in message["headers"]
            }
        else:
            self.body += message.get("body", b"")
            self.is_over = not message.get("more_body", False)
        self._changed.set()

    def cut(self) -> None:
        self.was_cut = True


@dataclass
class Client:
    """Asks one application."""

    app: ASGIApp
    serving: Serving
    diag: FakeDiag

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Exchange:
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, body: object, *, kind: str = "application/json") -> Exchange:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.ask("POST", path, headers={"content-type": kind}, body=data)

    async def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Exchange:
        exchange = Exchange()
        async with asyncio.timeout(SECONDS_MAX):
            await self.run(exchange, method, path, headers=headers, body=body)
        return exchange

    @asynccontextmanager
    async def open(
        self,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        is_leaving: bool = True,
    ) -> AsyncIterator[Exchange]:
        """A request that goes on while the block runs; then the client leaves, or stays."""
        exchange = Exchange()
        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.run(exchange, "GET", path, headers=headers))
            yield exchange
            if is_leaving:
                exchange.leave()

    async def run(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        place, _, query = path.partition("?")
        given = {"host": "127.0.0.1:8710", **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(place),
            "raw_path": place.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8710),
            "extensions": {ABORT: exchange.cut},
        }
        exchange.messages.append({"type": "http.request", "body": body, "more_body": False})
        await self.app(scope, exchange.receive, exchange.send)


@asynccontextmanager
async def serving_client(log: SmallLog, **options: Any) -> AsyncIterator[Client]:
    """An application over a log."""
    diag = FakeDiag()
    with open_serving(
        log.layout,
        TrustedKey(verifier=log.signer.verifier, source=KeySource.OPTION),
        ServeOptions(**options),
        clock=FixedClock(),
        diag=diag,
        alarms=Counter(),
        version="0.0.test",
    ) as serving:
        yield Client(make_application(serving), serving, diag)
