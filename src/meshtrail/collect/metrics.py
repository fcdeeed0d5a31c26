"""Envoy's pushes of counters to journal frames: what is kept is cut out before the journal.

One message becomes at most a blob (the identifier), the stream-opened entry, and one entry; a
message that cannot be cut, or that says again who its sender is, is kept as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.collect.opening import Opening
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.model.entry import EntryFlags, PayloadFormat
from meshtrail.sources.counters import cut_envoy_metrics

if TYPE_CHECKING:
    from meshtrail.collect.opening import StreamDoor
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.stream import Stream
    from meshtrail.journal import Frame
    from meshtrail.sources.counter_slices import CutCounters
    from meshtrail.units import UnixNanos

METRICS_SERVICE = "envoy.service.metrics.v3.MetricsService"
METRICS_METHOD = "StreamMetrics"
METRICS_SOURCE = "envoy-metrics"


class MetricsFramer:
    """Makes the frames of one stream of counters, message after message."""

    def __init__(self, door: StreamDoor, stream: Stream, peer: Peer) -> None:
        self._stream = stream
        self._opening = Opening(door, stream, peer, service=METRICS_SERVICE)

    @property
    def is_open(self) -> bool:
        """Whether the stream-opened entry was made: with the first message."""
        return self._opening.is_done

    def frame_message(self, message: bytes, *, received_ns: UnixNanos) -> list[Frame]:
        """The frames that a message becomes, to be journaled together and in this order."""
        cut, detail = _cut(message)
        frames: list[Frame] = []
        is_first = not self.is_open
        if is_first:
            identifier = cut.identifier if cut else None
            frames += self._opening.frames(identifier, detail, received_ns)
        # Only the first message of a stream carries an identifier; what another one says of itself
        # stands in no stream-opened entry.
        if cut is None or (cut.identifier is not None and not is_first):
            frames.append(self._whole(message, received_ns))
        if cut is not None and cut.kept_count + cut.left_out_count:
            frames.append(
                self._stream.counters_frame(
                    cut.payload,
                    payload_format=PayloadFormat.ENVOY_METRICS,
                    flags=EntryFlags.FILTERED,
                    received_ns=received_ns,
                )
            )
        return frames

    def frame_refusal(self, detail: str, *, received_ns: UnixNanos) -> list[Frame]:
        """The opening of a stream whose first message was refused; nothing of an open one."""
        return [] if self.is_open else self._opening.frames(None, detail, received_ns)

    def _whole(self, message: bytes, received_ns: UnixNanos) -> Frame:
        return self._stream.records_frame(
            message,
            records_count=1,
            framing=Framing.WHOLE,
            payload_format=PayloadFormat.ENVOY_METRICS_FRAME,
            received_ns=received_ns,
        )


def _cut(message: bytes) -> tuple[CutCounters | None, str | None]:
    try:
        return cut_envoy_metrics(message), None
    except InputError as error:
        return None, error.message
