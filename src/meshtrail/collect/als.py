"""Envoy access log messages to journal frames: framing only, no record is looked into.

One message becomes at most a blob (the identifier), the stream-opened entry, and the frame itself;
a message that holds more than its records is kept as a whole besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.collect.opening import Opening
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_frame import FrameShape, inspect_frame

if TYPE_CHECKING:
    from meshtrail.collect.opening import StreamDoor
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.stream import Stream
    from meshtrail.journal import Frame
    from meshtrail.units import UnixNanos

ALS_SERVICE = "envoy.service.accesslog.v3.AccessLogService"
ALS_METHOD = "StreamAccessLogs"
ALS_SOURCE = "envoy-als"


class AlsFramer:
    """Makes the frames of one ALS stream, message after message."""

    def __init__(self, door: StreamDoor, stream: Stream, peer: Peer) -> None:
        self._stream = stream
        self._opening = Opening(door, stream, peer, service=ALS_SERVICE)

    @property
    def is_open(self) -> bool:
        """Whether the stream-opened entry was made: with the first message."""
        return self._opening.is_done

    def frame_message(self, message: bytes, *, received_ns: UnixNanos) -> list[Frame]:
        """The frames that a message becomes, to be journaled together and in this order."""
        shape, detail = _inspect(message)
        frames: list[Frame] = []
        is_first = not self.is_open
        if is_first:
            identifier = shape.identifier if shape else None
            frames += self._opening.frames(identifier, detail, received_ns)
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
        return [] if self.is_open else self._opening.frames(None, detail, received_ns)

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


def _inspect(message: bytes) -> tuple[FrameShape | None, str | None]:
    try:
        return inspect_frame(message), None
    except InputError as error:
        return None, error.message
