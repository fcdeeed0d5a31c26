"""The framing of an access log message: which records it holds, and whether they are all of it.

This is all that collect looks at. The framing of a usual message, one field with nothing but
records, is followed here: a step for each record, and no copy. For any other, a shim in which every
element is ``bytes`` makes protobuf cut it into slices of its own bytes; nothing is decoded.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from meshtrail.errors import InputError
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.shim import BYTES, cut_descriptor
from meshtrail.sources.wire_fields import span_of, tag_of, walk_elements

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

RECORDS_COUNT_MAX = 65_536
"""Records that are sliced out of one message. Envoy sends 25 to 40 in one of its default size."""

SMALL_RECORDS_MAX = 1_024
RECORD_BYTES_MIN = 32
"""More than so many of less than this on average are not sliced. An empty record takes 2 bytes of a
message, and as an entry two hundred of the sealer's memory; the smallest that Envoy writes has a
time and two addresses."""

_HTTP_LOGS_TAG = tag_of(2)
_LOGS_TAGS = frozenset({_HTTP_LOGS_TAG, tag_of(3)})
_LOG_ENTRY_TAG = tag_of(1)


@cache
def frame_descriptor() -> Descriptor:
    """The shim of ``StreamAccessLogsMessage``; its oneof dissolved, so that both kinds are kept."""
    # Imported here: it takes 0.2 s, which only those who receive or seal should pay.
    from envoy.service.accesslog.v3 import als_pb2  # noqa: PLC0415 - see above

    return cut_descriptor(
        als_pb2.StreamAccessLogsMessage.DESCRIPTOR,
        {
            "identifier": BYTES,
            "http_logs": {"log_entry": BYTES},
            "tcp_logs": {"log_entry": BYTES},
        },
        package="meshtrail.shim.als.frame",
    )


class FrameShape(NamedTuple):
    """What a message is made of.

    Attributes:
        http_count: HTTP records.
        tcp_count: TCP records.
        identifier: the bytes of the sender's identifier; None where there is none.
        is_plain: whether records of one kind and the identifier are all there is: no unknown
            fields, no second spelling of a length, nothing that slicing would lose.
    """

    http_count: int
    tcp_count: int
    identifier: bytes | None
    is_plain: bool


def inspect_frame(frame: bytes) -> FrameShape:
    """Count the records of a message.

    Raises:
        InputError: protobuf cannot parse it, or it holds more records than anyone sends in earnest;
            then it is kept as a whole, and only so.
    """
    return _inspect_usual(frame) or _inspect_any(frame)


def slice_frame(frame: bytes, payload_format: PayloadFormat) -> list[bytes]:
    """The records of one kind in a message, in order.

    Raises:
        InputError: protobuf cannot parse it.
    """
    message = _parse(frame)
    logs = message.http_logs if payload_format is PayloadFormat.ALS_HTTP else message.tcp_logs
    return list(logs.log_entry)


def _inspect_usual(frame: bytes) -> FrameShape | None:
    """The shape of a plain message without an identifier, with 1 to ``SMALL_RECORDS_MAX`` records.

    None where it is no such message, and for a few rare ones that are: those are protobuf's.
    """
    try:
        if frame[0] not in _LOGS_TAGS:
            return None
        start, end = span_of(frame, 0)
        if end != len(frame):
            return None
        count, reached = walk_elements(frame, start, end, _LOG_ENTRY_TAG)
    except IndexError:
        # A field ends beyond the frame, or takes a longer length than is usual.
        return None
    return _usual_shape(frame[0], count) if reached == end else None


@cache
def _usual_shape(tag: int, count: int) -> FrameShape:
    """One object for all messages of this shape; ``SMALL_RECORDS_MAX`` for each tag at most."""
    if tag == _HTTP_LOGS_TAG:
        return FrameShape(count, 0, None, is_plain=True)
    return FrameShape(0, count, None, is_plain=True)


def _inspect_any(frame: bytes) -> FrameShape:
    message = _parse(frame)
    http_count = len(message.http_logs.log_entry)
    tcp_count = len(message.tcp_logs.log_entry)
    records_count = http_count + tcp_count
    is_padding = records_count > SMALL_RECORDS_MAX and len(frame) < RECORD_BYTES_MIN * records_count
    if is_padding or records_count > RECORDS_COUNT_MAX:
        raise InputError(
            f"a message of {len(frame)} bytes with {records_count} records: at most "
            f"{RECORDS_COUNT_MAX} are sliced, and at most {SMALL_RECORDS_MAX} "
            f"of less than {RECORD_BYTES_MIN} bytes on average"
        )
    identifier = message.identifier or None
    message.DiscardUnknownFields()
    is_plain = message.ByteSize() == len(frame) and not (http_count and tcp_count)
    return FrameShape(http_count, tcp_count, identifier, is_plain)


def _parse(frame: bytes) -> Any:  # noqa: ANN401 - generated classes have no types
    try:
        return _frame_class().FromString(frame)
    except DecodeError as error:
        raise InputError(f"not an access log message: {error}") from error


@cache
def _frame_class() -> Any:  # noqa: ANN401 - generated classes have no types
    return message_factory.GetMessageClass(frame_descriptor())
