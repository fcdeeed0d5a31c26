"""What senders are told, in protobuf and in JSON; of a refusal all are told the same way.

``Export*ServiceResponse`` has the same fields for all signals; errors are ``google.rpc.Status``.

Source: OTLP specification 1.7, "OTLP/gRPC Response" and "OTLP/HTTP Response".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from meshtrail.errors import (
    BusyError,
    DurabilityError,
    InputError,
    MeshtrailError,
    RequestError,
    UnauthenticatedError,
    UnavailableError,
)
from meshtrail.sources.otlp_frame import Signal

RETRY_SECONDS: Final = 1
"""How soon a sender that was refused for want of room should come again."""

_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
_REJECTED: Final = {
    Signal.LOGS: "rejectedLogRecords",
    Signal.TRACES: "rejectedSpans",
    Signal.METRICS: "rejectedDataPoints",
}
_VARINT_MORE: Final = 0x80
_LEN: Final = 2


class Code(IntEnum):
    """The codes of ``google.rpc.Code`` that are used."""

    INVALID_ARGUMENT = 3
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an export was not acknowledged.

    Attributes:
        http_status: over HTTP.
        code: over gRPC, and in the body over HTTP.
        message: for people.
        is_retryable: whether the sender should come again with the same.
    """

    http_status: int
    code: Code
    message: str = ""
    is_retryable: bool = False

    def encode(self, *, is_json: bool) -> bytes:
        """As a ``google.rpc.Status``."""
        if is_json:
            details = [{"@type": _RETRY_INFO, "retryDelay": f"{RETRY_SECONDS}s"}]
            status: dict[str, object] = {"code": int(self.code), "message": self.message}
            return _json({**status, "details": details} if self.is_retryable else status)
        encoded = _number(1, self.code) + _bytes(2, self.message.encode())
        if self.is_retryable:
            retry_info = _bytes(1, _number(1, RETRY_SECONDS))
            encoded += _bytes(3, _bytes(1, _RETRY_INFO.encode()) + _bytes(2, retry_info))
        return encoded


def refusal_of(error: MeshtrailError) -> Refusal:
    """What the sender is told of an error."""
    if isinstance(error, RequestError):
        status = error.facts["http_status"]
        code = _CODES.get(status, Code.INVALID_ARGUMENT)
        return Refusal(http_status=int(str(status)), code=code, message=error.message)
    for kind, refusal in _REFUSALS.items():
        if isinstance(error, kind):
            return replace(refusal, message=refusal.message or error.message)
    return INTERNAL


INTERNAL: Final = Refusal(http_status=500, code=Code.INTERNAL, message="the collector failed")
_CODES: Final[dict[object, Code]] = {
    404: Code.UNIMPLEMENTED,
    405: Code.UNIMPLEMENTED,
    413: Code.RESOURCE_EXHAUSTED,
}
_REFUSALS: Final[dict[type[MeshtrailError], Refusal]] = {
    UnauthenticatedError: Refusal(http_status=401, code=Code.UNAUTHENTICATED),
    InputError: Refusal(http_status=400, code=Code.INVALID_ARGUMENT),
    BusyError: Refusal(http_status=429, code=Code.RESOURCE_EXHAUSTED, is_retryable=True),
    UnavailableError: Refusal(http_status=503, code=Code.UNAVAILABLE, is_retryable=True),
    # Of the disk of this machine a sender need not know more.
    DurabilityError: Refusal(
        http_status=503,
        code=Code.UNAVAILABLE,
        message="the journal failed, and the collector starts again",
        is_retryable=True,
    ),
}
"""The first that an error is of counts; an empty message is the error's own."""


def encode_response(signal: Signal, *, rejected_count: int, reason: str, is_json: bool) -> bytes:
    """The response to an export that was taken; with nothing rejected it is empty."""
    if not rejected_count and not reason:
        return b"{}" if is_json else b""
    if is_json:
        partial = {_REJECTED[signal]: str(rejected_count), "errorMessage": reason}
        return _json({"partialSuccess": partial})
    return _bytes(1, _number(1, rejected_count) + _bytes(2, reason.encode()))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number) if number else b""


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _LEN) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= _VARINT_MORE:
        encoded.append(number % _VARINT_MORE | _VARINT_MORE)
        number //= _VARINT_MORE
    encoded.append(number)
    return bytes(encoded)
