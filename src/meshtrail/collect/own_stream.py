"""The collector's own stream: what it says of its clock, its stalls and its earlier streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.collect.payloads import CloseReason, Sender, clock_step, stream_opened
from meshtrail.collect.stream import Stream
from meshtrail.model.entry import EntryType

if TYPE_CHECKING:
    from meshtrail.collect.clock import CollectorClock
    from meshtrail.collect.diag import Diag
    from meshtrail.collect.payloads import CollectorFacts
    from meshtrail.journal import Frame, GroupCommit, OpenStream


WRITER: Final = "collect"


class OwnStream:
    """Puts the collector's own entries into its journal."""

    def __init__(self, *, commit: GroupCommit, clock: CollectorClock, diag: Diag) -> None:
        self._stream = Stream()
        self._commit = commit
        self._clock = clock
        self._diag = diag

    def open(self, collector: CollectorFacts) -> None:
        """Begin; the first entry of a process."""
        payload = stream_opened(Sender(transport="self", writer=WRITER), collector)
        self._put(EntryType.STREAM_OPENED, payload)

    def close_left_open(self, left_open: dict[int, OpenStream]) -> None:
        """Close the streams that an earlier process could not close."""
        for stream_id, state in sorted(left_open.items()):
            stream = Stream.resumed(stream_id, state)
            closed = stream.closed_frame(
                CloseReason.COLLECTOR_RESTARTED,
                detail=f"the last durable entry was seq {stream.last_seq}",
                received_ns=self._clock.now(),
            )
            self._commit.put([closed])
        if left_open:
            self._diag.warning("streams_closed_after_restart", streams_count=len(left_open))

    def check_clock(self) -> None:
        """Say when the wall clock stepped."""
        step = self._clock.check()
        if step is not None:
            self._diag.error("clock_stepped", step_ns=step.step_ns, wall_ns=step.wall_ns)
            self._put(EntryType.CLOCK, clock_step(step))

    def count(self, payload: bytes) -> None:
        """Say a counter."""
        self._put(EntryType.COUNTER, payload)

    def frame(self, entry_type: EntryType, payload: bytes) -> Frame:
        """An entry of the collector's own, to be put together with others at once."""
        return self._stream.own_frame(entry_type, payload, received_ns=self._clock.now())

    def close(self) -> None:
        """End; the last entry of a process that was told to stop."""
        closed = self._stream.closed_frame(
            CloseReason.SHUTDOWN, detail=None, received_ns=self._clock.now()
        )
        self._commit.put([closed])

    def _put(self, entry_type: EntryType, payload: bytes) -> None:
        self._commit.put([self.frame(entry_type, payload)])
