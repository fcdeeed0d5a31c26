"""The gRPC door: a table of services, whose messages are taken as raw bytes.

No deserialiser: the bytes of a message are what came over the wire. A stream gets no response;
that is the protocol of all that are served. What a stream is about is ``receiving``'s business,
what a unary call is about that of whoever answers it; this is gRPC only.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from meshtrail.collect.grpc_peer import identify_caller
from meshtrail.collect.payloads import CloseReason
from meshtrail.errors import ConfigError, DurabilityError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from meshtrail.collect.address import Address
    from meshtrail.collect.authenticator import Identify
    from meshtrail.collect.diag import Diag
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.receiving import Receiving

    Context = grpc.aio.ServicerContext[bytes, bytes]
    Answer = Callable[[Context], Awaitable[bytes]]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamService:
    """A method that clients stream to.

    Attributes:
        source: what is sent to it, for whoever says who may.
        begin: makes what receives from a peer.
    """

    source: str
    begin: Callable[[Peer], Receiving]


class _Messages:
    """A call, as the ``MessageSource`` of ``receiving``."""

    def __init__(self, context: Context) -> None:
        self._read = context.read

    async def read(self) -> bytes | None:
        try:
            message: object = await self._read()
        except grpc.aio.BaseError:
            return None
        return message if isinstance(message, bytes) else None


class GrpcServer(grpc.GenericRpcHandler):
    """Serves one address.

    Args:
        address: where to listen.
        credentials: None for plaintext.
        streams: the methods that clients stream to, by path.
        answers: by path, what answers a call; for unary methods. It reads the one message itself,
            so that none is taken in before there is a place for it.
        identify: says who calls.
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
        streams: Mapping[str, StreamService],
        answers: Mapping[str, Answer],
        identify: Identify,
        tasks: asyncio.TaskGroup,
        streams_max: int,
        message_bytes_max: int,
        diag: Diag,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._identify = identify
        self._tasks = tasks
        self._streams_max = streams_max
        self._diag = diag
        self._sleep = sleep
        self._receiving: set[Receiving] = set()
        self._is_refusing = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handlers = {
            path: _method_handler(partial(self._handle, streams[path])) for path in streams
        }
        self._handlers |= {
            path: _method_handler(partial(_answer, answers[path])) for path in answers
        }
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
        return self._handlers.get(handler_call_details.method)

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

    async def _handle(self, service: StreamService, _: object, context: Context) -> bytes:
        if len(self._receiving) >= self._streams_max:
            await self._refuse(context)
        self._is_refusing = False
        try:
            peer = identify_caller(self._identify, context, source=service.source)
        except UnauthenticatedError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message)
        receiving = service.begin(peer)
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

    async def _receive(self, receiving: Receiving, context: Context) -> None:
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

    async def _refuse(self, context: Context) -> None:
        if not self._is_refusing:
            self._is_refusing = True
            self._diag.error("streams_refused", streams_max=self._streams_max)
        await context.abort(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"this collector takes at most {self._streams_max} streams at once",
        )


async def _answer(answer: Answer, _: object, context: Context) -> bytes:
    return await answer(context)


def _method_handler(
    handle: Callable[[object, Context], Awaitable[bytes]],
) -> grpc.RpcMethodHandler[bytes, bytes]:
    return grpc.stream_unary_rpc_method_handler(handle)
