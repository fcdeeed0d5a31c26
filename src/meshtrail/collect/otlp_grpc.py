"""OTLP over gRPC: one call for each export, answered once it is durable."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio

from meshtrail.collect.exports import sender_of
from meshtrail.collect.grpc_peer import identify_caller
from meshtrail.collect.open_streams import Caller
from meshtrail.collect.otlp_answers import encode_response
from meshtrail.collect.otlp_cut import OTLP_SOURCE, SERVICES, OtlpExport
from meshtrail.errors import InputError, RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshtrail.collect.authenticator import Identify
    from meshtrail.collect.exports import Exports, Taken
    from meshtrail.collect.in_flight import Held, InFlight
    from meshtrail.collect.opening import StreamDoor
    from meshtrail.sources.otlp_frame import Signal

    Context = grpc.aio.ServicerContext[bytes, bytes]

BODY_SECONDS_MAX: Final = 30.0

_DETAILS: Final = "grpc-status-details-bin"
_STATUS: Final = {code.value[0]: code for code in grpc.StatusCode}


class OtlpGrpc:
    """Answers the three export methods.

    Args:
        exports: takes them.
        in_flight: bounds them.
        identify: says who calls.
        door: through which they come; asked for with each call.
        message_bytes_max: larger ones are refused.
    """

    def __init__(
        self,
        *,
        exports: Exports,
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

    def answers(self) -> dict[str, Callable[[Context], Awaitable[bytes]]]:
        """What answers each method, by path."""
        return {
            f"/{service}/Export": partial(self._answer, signal)
            for signal, service in SERVICES.items()
        }

    async def _answer(self, signal: Signal, context: Context) -> bytes:
        try:
            taken = await self._take(signal, context)
        except Exception as error:  # noqa: BLE001 - one call must not end the process
            refusal = self._exports.refuse(error)
        else:
            return encode_response(
                signal, rejected_count=taken.rejected_count, reason=taken.reason, is_json=False
            )
        details = refusal.encode(is_json=False)
        await context.abort(_STATUS[refusal.code], refusal.message, ((_DETAILS, details),))
        raise AssertionError("abort raises")

    async def _take(self, signal: Signal, context: Context) -> Taken:
        peer = identify_caller(self._identify, context, source=OTLP_SOURCE)
        caller = Caller(
            door=self._door(),
            transport="grpc",
            connection=context.peer(),
            peer=peer,
            # gRPC cancels the handler of a call whose sender has gone.
            is_gone=lambda: False,
        )
        with self._in_flight.request(sender_of(peer)) as held:
            body = await self._read(context, held)
            export = OtlpExport(body=body, signal=signal, is_json=False)
            return await self._exports.take(export, caller)

    async def _read(self, context: Context, held: Held) -> bytes:
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                message: object = await context.read()
        except TimeoutError as error:
            raise RequestError(
                f"the message did not come within {BODY_SECONDS_MAX:g} s", http_status=408
            ) from error
        except grpc.aio.BaseError:
            message = None
        if not isinstance(message, bytes):
            raise InputError("the call has no message")
        if len(message) > self._message_bytes_max:
            raise RequestError(
                f"a message of {len(message)} bytes was refused, at most "
                f"{self._message_bytes_max} are taken",
                http_status=413,
            )
        held.grow(len(message))
        return message
