"""Which streams a journal holds the opening of, and not the closing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.journal.header import OpenStream
from meshtrail.model.entry import EntryType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class OpenStreams:
    """Follows the rows of a journal in their order."""

    def __init__(self, before: Mapping[int, OpenStream]) -> None:
        self._streams = dict(before)

    def apply(self, *, stream: int, first_seq: int, records_count: int, entry_type: int) -> None:
        """Take one row into account; a blob's, with stream 0, changes nothing."""
        if entry_type == EntryType.STREAM_OPENED:
            self._streams[stream] = OpenStream(
                next_seq=first_seq + records_count, frames_count=0, records_count=0
            )
            return
        state = self._streams.get(stream)
        if state is None:
            return
        if entry_type == EntryType.STREAM_CLOSED:
            del self._streams[stream]
            return
        is_record = entry_type == EntryType.RECORD
        self._streams[stream] = OpenStream(
            next_seq=first_seq + records_count,
            frames_count=state.frames_count + is_record,
            records_count=state.records_count + records_count * is_record,
        )

    def apply_rows(self, rows: Iterable[tuple[int, ...]]) -> None:
        """Take rows into account: (stream, first_seq, records_count, entry_type) each."""
        for stream, first_seq, records_count, entry_type in rows:
            self.apply(
                stream=stream,
                first_seq=first_seq,
                records_count=records_count,
                entry_type=entry_type,
            )

    def snapshot(self) -> dict[int, OpenStream]:
        """The open streams of this moment."""
        return dict(self._streams)
