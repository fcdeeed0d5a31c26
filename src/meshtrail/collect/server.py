"""The gRPC door: many streams of access logs at once, as raw bytes.

No deserialiser: the bytes of a message are what came over the wire. No response is ever sent; that
is the protocol. What a stream is about is ``receiving``'s business, this is gRPC only.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from meshtrail.collect.address import format_peer
from meshtrail.collect.als import ALS_METHOD, ALS_SERVICE, ALS_SOURCE
from meshtrail.collect.payloads import CloseReason
from meshtrail.errors import ConfigError, DurabilityError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshtrail.collect.address import Address
    from meshtrail.collect.authenticator import Authenticator
    from meshtrail.collect.diag import Diag
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.receiving import Receiving

_RESET_DETAIL = "reset by the sender or the network, or for a message over the hard limit of gRPC"
_RESET_WAIT_S = 0.05
"""A reset comes as two events, the end and 0.1 ms later the cancellation: wait for the second."""

_DRAIN_IDLE_S = 0.1
_DRAIN_S_MAX = 2.0

_WINDOW_BYTES = 128 << 10


def server_options(*, message_bytes_max: int, streams_max: int) -> list[tuple[str, int]]:
    """Channel arguments of the server."""
    return [
        # After a restart every sender comes back at once; gRPC's own limit is 1,000 that wait.
        ("grpc.server.max_pending_requests", 2 * streams_max),
        ("grpc.server.max_pending_requests_hard_limit", 4 * streams_max),
        # A second collector on the same port is an error, not a share of the connections.
        ("grpc.so_reuseport", 0),
        # Between the two limits we refuse ourselves, and can say so in the stream-closed entry.
        ("grpc.max_receive_message_length", 2 * message_bytes_max),
        # A window that does not grow: what a held-back sender has in flight stays with the sender,
        # where it is counted. Measured: 257 messages in flight with the probe, 6 without.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        # A peer that died without a word is noticed within 80 s.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # An Envoy that is configured to ping often must not be sent away for it.
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.server_handshake_timeout_ms", 20_000),
    ]


class _Messages:
    """A call, as the ``MessageSource`` of ``receiving``."""

    def __init__(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._read = context.read

    async def read(self) -> bytes | None:
        try:
            message: object = await self._read()
        except grpc.aio.BaseError:
            return None
        return message if isinstance(message, bytes) else None


class AlsServer(grpc.GenericRpcHandler):
    """Serves one address.

    Args:
        address: where to listen.
        credentials: None for plaintext.
        authenticator: says who a sender is, or refuses it.
        begin: makes what receives from a peer.
        tasks: runs it, and ends the process when the journal fails.
        streams_max: open at once.
        message_bytes_max: larger ones are refused.
        diag: hears alarms.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(
        self,
        address: Address,
        *,
        credentials: grpc.ServerCredentials | None,
        authenticator: Authenticator,
        begin: Callable[[Peer], Receiving],
        tasks: asyncio.TaskGroup,
        streams_max: int,
        message_bytes_max: int,
        diag: Diag,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._authenticator = authenticator
        self._begin = begin
        self._tasks = tasks
        self._streams_max = streams_max
        self._diag = diag
        self._sleep = sleep
        self._receiving: set[Receiving] = set()
        self._is_refusing = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(
            self._handle
        )
        self._server = grpc.aio.server(
            handlers=(self,),
            options=server_options(message_bytes_max=message_bytes_max, streams_max=streams_max),
        )
        text = address.format()
        try:
            if credentials is None:
                port = self._server.add_insecure_port(text)
            else:
                port = self._server.add_secure_port(text, credentials)
        except RuntimeError as error:
            raise ConfigError(
                f"cannot listen on {text}: is another process listening there?", address=text
            ) from error
        self.address = type(address)(address.host, port)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a method; gRPC answers UNIMPLEMENTED to all others."""
        if handler_call_details.method == f"/{ALS_SERVICE}/{ALS_METHOD}":
            return self._handler
        return None

    async def start(self) -> None:
        """Begin to listen."""
        await self._server.start()

    async def drain(self) -> None:
        """Take no new streams, and read what has been delivered of those that there are."""
        # gRPC tells senders to go elsewhere and refuses new streams as soon as this runs.
        self._tasks.create_task(self._server.stop(_DRAIN_S_MAX + 1))
        waited_s = 0.0
        before = -1
        while (count := self._messages_count()) != before and waited_s < _DRAIN_S_MAX:
            before = count
            await self._sleep(_DRAIN_IDLE_S)
            waited_s += _DRAIN_IDLE_S

    def close_streams(self) -> None:
        """Close every open stream and end it in good order; nothing is taken from it any more."""
        for receiving in self._receiving:
            receiving.close(CloseReason.SHUTDOWN)
        self._ended.set_result(None)

    async def stop(self) -> None:
        """Cut every connection."""
        await self._server.stop(None)

    def _messages_count(self) -> int:
        return sum(receiving.messages_count for receiving in self._receiving)

    async def _handle(self, _: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        peer = await self._identify(context, ALS_SOURCE)
        if len(self._receiving) >= self._streams_max:
            await self._refuse(context)
        self._is_refusing = False
        receiving = self._begin(peer)
        self._receiving.add(receiving)
        try:
            await self._receive(receiving, context)
        finally:
            self._receiving.discard(receiving)
        if receiving.error is not None:
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            if receiving.is_refused:
                code = grpc.StatusCode.UNAUTHENTICATED
            await context.abort(code, receiving.error)
        return b""

    async def _receive(
        self, receiving: Receiving, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        # A task of its own: a reset cancels this handler, and must not take away with it a message
        # that was read and is not put yet.
        reading = self._tasks.create_task(receiving.receive(_Messages(context)))
        reason, detail = CloseReason.ENDED, None
        try:
            await asyncio.wait([reading, self._ended], return_when=asyncio.FIRST_COMPLETED)
            if not self._ended.done():
                await self._sleep(_RESET_WAIT_S)
        except asyncio.CancelledError:
            reason, detail = CloseReason.CANCELLED, _RESET_DETAIL
            await asyncio.wait([reading])
        finally:
            # When the journal has failed, that failure is on its way to end the process.
            with contextlib.suppress(DurabilityError):
                receiving.close(reason, detail)

    async def _identify(self, context: grpc.aio.ServicerContext[bytes, bytes], source: str) -> Peer:
        """The sender of a call; one that does not show who it is is sent away unread."""
        certificate = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        headers = context.invocation_metadata() or ()
        try:
            return self._authenticator.identify(
                format_peer(context.peer()), certificate, headers, source
            )
        except UnauthenticatedError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message)

    async def _refuse(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        if not self._is_refusing:
            self._is_refusing = True
            self._diag.error("streams_refused", streams_max=self._streams_max)
        await context.abort(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"this collector takes at most {self._streams_max} streams at once",
        )
