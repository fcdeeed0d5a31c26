"""OTLP over HTTP: a POST for each export, answered once it is durable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from meshtrail.collect.address import Address
from meshtrail.collect.gunzip import gunzip
from meshtrail.collect.otlp import OTLP_SOURCE, sender_of
from meshtrail.collect.otlp_answers import RETRY_SECONDS, Refusal, encode_response
from meshtrail.collect.otlp_cut import Export
from meshtrail.collect.otlp_streams import Caller
from meshtrail.errors import RequestError
from meshtrail.http.connection import CONNECTION
from meshtrail.sources.otlp_frame import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.collect.authenticator import Identify
    from meshtrail.collect.in_flight import Held, InFlight
    from meshtrail.collect.opening import StreamDoor
    from meshtrail.collect.otlp import OtlpExports
    from meshtrail.http.asgi import Receive, Scope, Send
    from meshtrail.http.connection import BoundedConnection

BODY_SECONDS_MAX: Final = 30.0

_PATHS: Final = {
    "/v1/logs": Signal.LOGS,
    "/v1/traces": Signal.TRACES,
    "/v1/metrics": Signal.METRICS,
}
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_IDENTITY: Final = ("", "identity")


class OtlpHttp:
    """An ASGI application.

    Args:
        exports: takes them.
        in_flight: bounds them.
        identify: says who asks.
        door: through which they come; asked for with each request.
        message_bytes_max: larger bodies are refused, unpacked or not.
    """

    def __init__(
        self,
        *,
        exports: OtlpExports,
        in_flight: InFlight,
        identify: Identify,
        door: Callable[[], StreamDoor],
        message_bytes_max: int,
    ) -> None:
        self._exports = exports
        self._in_flight = in_flight
        self._identify = identify
        self._door = door
        self._message_bytes_max = message_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = _Request(scope, receive)
        status, refusal = 200, None
        try:
            body = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - one request must not end the process
            refusal = self._exports.refuse(error)
            status, body = refusal.http_status, refusal.encode(is_json=request.wants_json)
        headers = _headers(request, refusal, len(body))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, request: _Request) -> bytes:
        signal = request.check()
        connection = request.connection
        peer = self._identify(
            request.address, connection.certificate_der, request.headers, OTLP_SOURCE
        )
        connection.when_lost(lambda error: self._exports.lose(connection, error))
        with self._in_flight.request(sender_of(peer)) as held:
            body = await self._read(request, held)
            caller = Caller(
                door=self._door(),
                transport="http",
                connection=connection,
                peer=peer,
                is_gone=lambda: connection.is_lost,
            )
            export = Export(body=body, signal=signal, is_json=request.is_json)
            taken = await self._exports.take(export, caller)
        return encode_response(
            signal,
            rejected_count=taken.rejected_count,
            reason=taken.reason,
            is_json=request.is_json,
        )

    async def _read(self, request: _Request, held: Held) -> bytes:
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


class _Request:
    """What one request says in its head, and its body."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.path: str = scope["path"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._kind = self._header(b"content-type").partition(";")[0].strip().lower()
        self.is_json = self._kind == _JSON
        self.is_gzip = False

    @property
    def wants_json(self) -> bool:
        """Whether the answer is JSON: to JSON, and to what nobody can tell."""
        return self._kind != _PROTOBUF

    @property
    def address(self) -> str:
        """Of the sender."""
        client = self._scope["client"]
        return "unknown" if client is None else Address(*client).format()

    @property
    def connection(self) -> BoundedConnection:
        """Over which it comes."""
        found: BoundedConnection = self._scope["extensions"][CONNECTION]
        return found

    def check(self) -> Signal:
        """What the request is about.

        Raises:
            RequestError: it is not one that is taken.
        """
        signal = _PATHS.get(self.path)
        if signal is None:
            raise RequestError(
                f"there is no {self.path[:80]!r}: exports go to {', '.join(_PATHS)}",
                http_status=404,
            )
        if self._scope["method"] != "POST":
            raise RequestError("exports are sent with POST", http_status=405)
        if self._header(b"origin"):
            # A page in a browser can reach loopback; it cannot keep the browser from saying so.
            raise RequestError("a page in a browser may send nothing here", http_status=403)
        if self._kind not in {_PROTOBUF, _JSON}:
            raise RequestError(
                f"a body of {_PROTOBUF} or {_JSON} is wanted, got {self._kind[:80] or 'none'!r}",
                http_status=415,
            )
        encoding = self._header(b"content-encoding").strip().lower()
        self.is_gzip = encoding == "gzip"
        if not self.is_gzip and encoding not in _IDENTITY:
            raise RequestError(
                f"a body is packed with gzip or not at all, got {encoding[:80]!r}", http_status=415
            )
        return signal

    async def read(self, held: Held, *, bytes_max: int) -> bytes:
        """The body, as it was sent.

        Raises:
            RequestError: it is longer; what is left of it is not waited for.
            BusyError: there is no room for it.
        """
        declared = self._header(b"content-length")
        self._check_length(int(declared) if declared else 0, bytes_max)
        body = bytearray()
        is_whole = False
        while not is_whole:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise RequestError("the sender has gone", http_status=400)
            self._check_length(len(body) + len(message["body"]), bytes_max)
            held.grow(len(message["body"]))
            body += message["body"]
            is_whole = not message["more_body"]
        return bytes(body)

    def _check_length(self, length: int, bytes_max: int) -> None:
        if length > bytes_max:
            raise RequestError(
                f"a body of {length} bytes was refused, at most {bytes_max} are taken",
                http_status=413,
            )

    def _header(self, name: bytes) -> str:
        return b",".join(value for key, value in self.headers if key == name).decode("latin-1")


def _headers(request: _Request, refusal: Refusal | None, length: int) -> list[tuple[bytes, bytes]]:
    kind = _JSON if request.wants_json else _PROTOBUF
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
