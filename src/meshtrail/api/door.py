"""What stands before and behind every handler: who may ask, errors as answers, slow readers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect

from meshtrail.api.error_answers import (
    UNEXPECTED,
    make_error_answer,
    make_unexpected_answer,
)
from meshtrail.api.request_check import check_request
from meshtrail.errors import MeshtrailError, TamperError, UnavailableError
from meshtrail.http.connection import ABORT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from meshtrail.api.serving import Serving

ROUTE: Final = "meshtrail.route"
"""Where a scope says which route it came to, for the metrics."""

SLOW_READER: Final = "slow_reader"

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_GONE: Final = "gone"


class Door:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self._app = app
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        sending = _Sending(send, seconds_max=self._serving.options.reader_seconds_max)
        status = _GONE
        try:
            await self._answer(scope, receive, sending)
            status = str(sending.status)
        except ClientDisconnect:
            # Nobody is there to hear anything.
            return
        finally:
            route = scope.get(ROUTE, "other")
            self._serving.metrics.requests.labels(route, status).inc()

    async def _answer(self, scope: Scope, receive: Receive, sending: _Sending) -> None:
        serving = self._serving
        try:
            check_request(scope, hosts=serving.options.hosts)
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            raise
        except MeshtrailError as error:
            self._note(scope, error)
            if sending.is_over:
                # It told the error itself.
                return
            if sending.status is not None:
                self._cut(scope, error)
                return
            await make_error_answer(error)(scope, receive, sending)
        except Exception:  # noqa: BLE001 - one request must not end the process
            serving.metrics.errors.labels(UNEXPECTED).inc()
            serving.diag.exception("request_failed", route=scope.get(ROUTE), path=scope["path"])
            if sending.status is not None:
                _abort(scope)
                return
            await make_unexpected_answer()(scope, receive, sending)

    def _note(self, scope: Scope, error: MeshtrailError) -> None:
        """Count an error; raise the alarm for one that is about the record."""
        self._serving.metrics.errors.labels(type(error).__name__).inc()
        if isinstance(error, TamperError):
            self._serving.diag.error(
                "tampering_found",
                error=type(error).__name__,
                message=error.message,
                route=scope.get(ROUTE),
            )

    def _cut(self, scope: Scope, error: MeshtrailError) -> None:
        """End an answer that was begun, so that its reader knows that it is not whole."""
        reason = str(error.facts.get("reason", type(error).__name__))
        self._serving.metrics.readers_cut.labels(reason).inc()
        self._serving.diag.warning(
            "reader_cut", reason=reason, message=error.message, route=scope.get(ROUTE)
        )
        _abort(scope)


class _Sending:
    """Sends messages on, with the headers that every answer has, and within a time.

    Attributes:
        status: of the answer, once it was begun.
        is_over: whether its last byte was sent.
    """

    def __init__(self, send: Send, *, seconds_max: float) -> None:
        self.status: int | None = None
        self.is_over = False
        self._send = send
        self._seconds_max = seconds_max

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), *_HEADERS]
            if not any(name == _NOT_KEPT[0] for name, _ in headers):
                headers.append(_NOT_KEPT)
            message = {**message, "headers": headers}
        try:
            async with asyncio.timeout(self._seconds_max):
                await self._send(message)
        except TimeoutError as error:
            raise UnavailableError(
                f"the reader took nothing for {self._seconds_max:g} s", reason=SLOW_READER
            ) from error
        is_body = message["type"] == "http.response.body"
        self.is_over = is_body and not message.get("more_body", False)


def _abort(scope: Scope) -> None:
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is not None:
        abort()
