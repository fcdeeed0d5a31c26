"""One HTTP connection, bounded in the size of a request's head and in the time that it takes.

uvicorn hands a head on when it is whole, however long it becomes and takes. Whoever sends it byte
by byte, or without end, is cut off here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

ABORT: Final = "meshtrail.abort"
"""The extension of a scope that cuts its connection; what waits in it is dropped."""

CONNECTION: Final = "meshtrail.connection"
"""The extension of a scope that is its connection, a ``BoundedConnection``."""

HEAD_BYTES_MAX: Final = 32 << 10
HEAD_SECONDS_MAX: Final = 10.0

_PART_BYTES: Final = 4 << 10
_TOO_LONG: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedConnection(HttpToolsProtocol):
    """A connection of uvicorn's, with bounds."""

    _head_bytes: int = 0
    _is_in_head: bool = True
    _head_timer: asyncio.TimerHandle | None = None
    _is_lost: bool = False
    _on_lost: Callable[[Exception | None], object] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether nobody is at the other end any more."""
        return self._is_lost

    @property
    def certificate_der(self) -> bytes | None:
        """The certificate that the other end showed in the handshake, which TLS verified."""
        tls = self.transport.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert(binary_form=True)

    def when_lost(self, callback: Callable[[Exception | None], object]) -> None:
        """Call ``callback`` once nobody is at the other end any more; with what went wrong."""
        self._on_lost = callback

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; what is too much is not even heard."""
        super().connection_made(cast("asyncio.Transport", transport))
        limit = self.config.limit_concurrency
        # Beyond the limit uvicorn answers 503, for which it has to read: up to twice as many.
        if limit is not None and len(self.connections) > 2 * limit:
            self.transport.abort()
            return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._is_lost = True
        self._stop_timer()
        super().connection_lost(exc)
        if self._on_lost is not None:
            self._on_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser in small parts, so that a head that is too long is noticed in time."""
        for start in range(0, len(data), _PART_BYTES):
            part = data[start : start + _PART_BYTES]
            if self._is_in_head:
                self._head_bytes += len(part)
                if self._head_bytes > HEAD_BYTES_MAX:
                    self.transport.write(_TOO_LONG)
                    self.transport.close()
                    return
            super().data_received(part)
            if self.transport.is_closing():
                return

    def on_message_begin(self) -> None:
        """Begin a request; its scope knows the connection, and can cut it."""
        super().on_message_begin()
        extensions: dict[str, Any] = {ABORT: self.transport.abort, CONNECTION: self}
        self.scope["extensions"] = extensions
        self._start_timer()

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next request."""
        super().on_message_complete()
        self._stop_timer()
        self._is_in_head = True
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        """Go on; whoever keeps sending the body of what was answered already is cut off."""
        super().on_response_complete()
        if not self._is_in_head and self.cycle.response_complete:
            self._start_timer()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also when its client did not take what was sent."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(HEAD_SECONDS_MAX, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
