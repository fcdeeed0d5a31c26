"""Envoy access log messages to journal frames: framing only, no record is looked into.

One message becomes at most a blob (the identifier), the stream-opened entry, and the frame itself;
a message that holds more than its records is kept as a whole besides.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from meshtrail.collect.payloads import Sender, stream_opened
from meshtrail.errors import InputError
from meshtrail.journal import Frame, Framing, blob_frame
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.sources.als_frame import FrameShape, inspect_frame
from meshtrail.sources.als_identifier import decode_identifier

if TYPE_CHECKING:
    from meshtrail.collect.door import Door
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.stream import Stream
    from meshtrail.units import UnixNanos

ALS_SERVICE = "envoy.service.accesslog.v3.AccessLogService"
ALS_METHOD = "StreamAccessLogs"
ALS_SOURCE = "envoy-als"


class AlsFramer:
    """Makes the frames of one ALS stream, message after message."""

    def __init__(self, door: Door, stream: Stream, peer: Peer) -> None:
        self._door = door
        self._stream = stream
        self._peer = peer
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether the stream-opened entry was made: with the first message."""
        return self._is_open

    def frame_message(self, message: bytes, *, received_ns: UnixNanos) -> list[Frame]:
        """The frames that a message becomes, to be journaled together and in this order."""
        shape, detail = _inspect(message)
        frames: list[Frame] = []
        is_first = not self._is_open
        if is_first:
            identifier = shape.identifier if shape else None
            frames += self._open(identifier, detail, received_ns)
        if shape is None:
            return [*frames, self._whole(message, received_ns)]
        # Only the first message of a stream carries an identifier; what another one says of itself
        # stands in no stream-opened entry, so it is kept with the whole.
        if not shape.is_plain or (shape.identifier is not None and not is_first):
            frames.append(self._whole(message, received_ns))
        if shape.http_count:
            frames.append(
                self._sliced(message, shape.http_count, PayloadFormat.ALS_HTTP, received_ns)
            )
        if shape.tcp_count:
            frames.append(
                self._sliced(message, shape.tcp_count, PayloadFormat.ALS_TCP, received_ns)
            )
        return frames

    def frame_refusal(self, detail: str, *, received_ns: UnixNanos) -> list[Frame]:
        """The opening of a stream whose first message was refused; nothing of an open one."""
        return [] if self._is_open else self._open(None, detail, received_ns)

    def _sliced(
        self, message: bytes, count: int, payload_format: PayloadFormat, received_ns: UnixNanos
    ) -> Frame:
        return self._stream.records_frame(
            message,
            records_count=count,
            framing=Framing.ALS,
            payload_format=payload_format,
            received_ns=received_ns,
        )

    def _whole(self, message: bytes, received_ns: UnixNanos) -> Frame:
        return self._stream.records_frame(
            message,
            records_count=1,
            framing=Framing.WHOLE,
            payload_format=PayloadFormat.ALS_FRAME,
            received_ns=received_ns,
        )

    def _open(
        self, identifier: bytes | None, detail: str | None, received_ns: UnixNanos
    ) -> list[Frame]:
        frames = []
        claimed = None
        digest = None
        if identifier is not None:
            digest = hashlib.sha256(identifier).digest()
            if self._door.blobs.add(digest):
                frames.append(blob_frame(identifier, received_ns=received_ns))
            try:
                claimed = decode_identifier(identifier)
            except InputError as error:
                detail = error.message
        elif detail is None:
            detail = "the first message carries no identifier"
        sender = Sender(
            transport="grpc",
            service=ALS_SERVICE,
            listener=self._door.listener,
            peer=self._peer,
            claimed=claimed,
            identifier_sha256=digest,
            identifier_bytes=None if identifier is None else len(identifier),
            detail="; ".join(filter(None, [self._peer.detail, detail])) or None,
        )
        payload = stream_opened(sender, self._door.collector)
        opened = self._stream.own_frame(EntryType.STREAM_OPENED, payload, received_ns=received_ns)
        self._is_open = True
        return [*frames, opened]


def _inspect(message: bytes) -> tuple[FrameShape | None, str | None]:
    try:
        return inspect_frame(message), None
    except InputError as error:
        return None, error.message
