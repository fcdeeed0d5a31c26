"""Exports over gRPC and over HTTP, put together: what both doors take goes one way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from meshtrail.collect.address import Address, parse_address
from meshtrail.collect.exports import Exports
from meshtrail.collect.http_door import HttpDoor
from meshtrail.collect.in_flight import InFlight
from meshtrail.collect.open_streams import OpenStreams
from meshtrail.collect.otlp_grpc import OtlpGrpc
from meshtrail.collect.otlp_http import otlp_services
from meshtrail.collect.record_http import record_services
from meshtrail.collect.tally import Tally
from meshtrail.collect.webhook_http import webhook_services
from meshtrail.http.server import Server, open_socket
from meshtrail.journal import RecentExports

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable

    import grpc.aio

    from meshtrail.collect.authenticator import Authenticator
    from meshtrail.collect.clock import CollectorClock
    from meshtrail.collect.diag import Diag
    from meshtrail.collect.opening import StreamDoor
    from meshtrail.collect.options import CollectOptions
    from meshtrail.journal import GroupCommit

    Context = grpc.aio.ServicerContext[bytes, bytes]

KEEP_ALIVE_SECONDS: Final = 300
"""Exporters send every 5 to 60 s: each connection that ends makes them begin their streams anew."""

_END_SECONDS_MAX: Final = 8.0
"""For requests under way at the end: they are held for 5 s at most."""


class ExportDoors:
    """Both doors. Belongs to one event loop.

    Args:
        options: bounds, and where HTTP is listened for.
        door: what is known of the gRPC door; for both, but for the address.
        commit: takes frames.
        clock: of the collector.
        left_exports: digests of the exports that were taken before, joined.
        grpc_authenticator: says who sends over gRPC.
        http_authenticator: says who sends over HTTP.
        tls: of the HTTP door; None for plaintext.
        diag: hears what happens.

    Attributes:
        http_address: where HTTP is listened for; None when it is not, or not yet.
    """

    def __init__(
        self,
        options: CollectOptions,
        *,
        door: Callable[[], StreamDoor],
        commit: GroupCommit,
        clock: CollectorClock,
        left_exports: bytes,
        grpc_authenticator: Authenticator,
        http_authenticator: Authenticator,
        tls: ssl.SSLContext | None,
        diag: Diag,
    ) -> None:
        self._options = options
        self._tally = Tally(diag)
        self._in_flight = InFlight(
            requests_max=options.otlp_requests_max, bytes_max=options.otlp_bytes_max
        )
        self._exports = Exports(
            journal=commit,
            streams=OpenStreams(
                streams_max=options.otlp_streams_max,
                connection_streams_max=options.otlp_connection_streams_max,
                tally=self._tally,
            ),
            known=RecentExports(left_exports),
            clock=clock,
            diag=diag,
            tally=self._tally,
        )
        self._grpc = OtlpGrpc(
            exports=self._exports,
            in_flight=self._in_flight,
            identify=grpc_authenticator.identify,
            door=door,
            message_bytes_max=options.message_bytes_max,
        )
        self._http = HttpDoor(
            {
                **otlp_services(http_authenticator.identify),
                **record_services(http_authenticator.identify),
                **webhook_services(options.webhooks, http_authenticator, diag=diag),
            },
            exports=self._exports,
            in_flight=self._in_flight,
            door=lambda: replace(door(), listener=self.http_address or ""),
            message_bytes_max=options.message_bytes_max,
        )
        self._tls = tls
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None
        self.http_address: str | None = None

    def answers(self) -> dict[str, Callable[[Context], Awaitable[bytes]]]:
        """What answers the gRPC methods, by path."""
        return self._grpc.answers()

    def listen(self) -> None:
        """Open the socket; nothing is answered yet.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        if self._options.is_otlp_http_on:
            self._socket = open_socket(parse_address(self._options.otlp_http), option="--otlp-http")
            self.http_address = Address(*self._socket.getsockname()[:2]).format()

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to answer over HTTP."""
        if self._socket is None:
            return
        ready = asyncio.Event()
        self._server = Server(
            self._http,
            connections_max=self._options.otlp_connections_max,
            on_ready=ready.set,
            keep_alive_seconds=KEEP_ALIVE_SECONDS,
            tls=self._tls,
        )
        self._serving = tasks.create_task(self._server.serve([self._socket]))
        await ready.wait()

    def look(self) -> None:
        """Close what is idle, and tell what was counted; every second or so."""
        self._exports.close_idle()
        self._tally.tell()

    async def finish(self) -> None:
        """Take no new connections, wait for those under way, and close every stream."""
        self._exports.stop()
        if self._server is not None:
            self._server.should_exit = True
        await self._in_flight.ended(_END_SECONDS_MAX)
        self._exports.close()
        self._tally.tell()

    async def stop(self) -> None:
        """Return when no connection is left."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving])
            self._server.cut()
        if self._socket is not None:
            self._socket.close()
