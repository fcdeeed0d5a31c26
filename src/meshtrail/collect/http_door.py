"""The HTTP door: a POST for each export, answered once it is durable.

What may come is the business of the services behind it, by path; this is HTTP only.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from meshtrail.collect.gunzip import gunzip
from meshtrail.collect.http_request import JSON, PROTOBUF, HttpRequest
from meshtrail.collect.open_streams import Caller
from meshtrail.collect.otlp_answers import RETRY_SECONDS, Refusal
from meshtrail.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshtrail.collect.exports import Exports
    from meshtrail.collect.http_service import HttpService
    from meshtrail.collect.in_flight import Held, InFlight
    from meshtrail.collect.opening import StreamDoor
    from meshtrail.http.asgi import Receive, Scope, Send

BODY_SECONDS_MAX: Final = 30.0


class HttpDoor:
    """An ASGI application.

    Args:
        services: what is taken, by path.
        exports: takes it.
        in_flight: bounds it.
        door: through which it comes; asked for with each request.
        message_bytes_max: larger bodies are refused, unpacked or not.
    """

    def __init__(
        self,
        services: Mapping[str, HttpService],
        *,
        exports: Exports,
        in_flight: InFlight,
        door: Callable[[], StreamDoor],
        message_bytes_max: int,
    ) -> None:
        self._services = services
        self._exports = exports
        self._in_flight = in_flight
        self._door = door
        self._message_bytes_max = message_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = HttpRequest(scope, receive)
        status, refusal = 200, None
        try:
            body = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - one request must not end the process
            refusal = self._exports.refuse(error)
            status, body = refusal.http_status, refusal.encode(is_json=request.wants_json)
        headers = _headers(request, refusal, len(body))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, request: HttpRequest) -> bytes:
        service = self._services.get(request.path)
        if service is None:
            raise RequestError(
                f"there is no {request.path[:80]!r}: what is taken goes to "
                f"{', '.join(self._services)}",
                http_status=404,
            )
        request.check(service.kinds)
        admitted = service.admit(request)
        connection = request.connection
        connection.when_lost(lambda error: self._exports.lose(connection, error))
        with self._in_flight.request(admitted.sender) as held:
            peer, export = admitted.finish(await self._read(request, held))
            caller = Caller(
                door=self._door(),
                transport="http",
                connection=connection,
                peer=peer,
                is_gone=lambda: connection.is_lost,
            )
            taken = await self._exports.take(export, caller)
        return service.answer(request, taken)

    async def _read(self, request: HttpRequest, held: Held) -> bytes:
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                body = await request.read(held, bytes_max=self._message_bytes_max)
        except TimeoutError as error:
            raise RequestError(
                f"the body did not come within {BODY_SECONDS_MAX:g} s", http_status=408
            ) from error
        if request.is_gzip:
            body = gunzip(body, bytes_max=self._message_bytes_max)
            held.grow(len(body))
        return body


def _headers(
    request: HttpRequest, refusal: Refusal | None, length: int
) -> list[tuple[bytes, bytes]]:
    kind = JSON if request.wants_json else PROTOBUF
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(length).encode()),
    ]
    if refusal is None:
        return headers
    if refusal.is_retryable:
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    more = {405: (b"allow", b"POST"), 415: (b"accept-encoding", b"gzip")}
    if refusal.http_status in more:
        headers.append(more[refusal.http_status])
    return headers
