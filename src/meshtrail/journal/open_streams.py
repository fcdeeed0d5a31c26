"""Which streams a journal holds the opening of, and not the closing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.journal.header import OpenStream
from meshtrail.model.entry import EntryType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(slots=True)
class _Progress:
    """An ``OpenStream`` that goes on with each row of its stream."""

    next_seq: int
    frames_count: int = 0
    records_count: int = 0


class OpenStreams:
    """Follows the rows of a journal in their order."""

    def __init__(self, before: Mapping[int, OpenStream]) -> None:
        self._streams = {
            stream: _Progress(state.next_seq, state.frames_count, state.records_count)
            for stream, state in before.items()
        }

    def __len__(self) -> int:
        return len(self._streams)

    def apply(self, *, stream: int, first_seq: int, records_count: int, entry_type: int) -> None:
        """Take one row into account; a blob's, with stream 0, changes nothing."""
        if entry_type == EntryType.STREAM_OPENED:
            self._streams[stream] = _Progress(first_seq + records_count)
            return
        state = self._streams.get(stream)
        if state is None:
            return
        if entry_type == EntryType.STREAM_CLOSED:
            del self._streams[stream]
            return
        state.next_seq = first_seq + records_count
        if entry_type == EntryType.RECORD:
            state.frames_count += 1
            state.records_count += records_count

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
        return {
            stream: OpenStream(
                next_seq=state.next_seq,
                frames_count=state.frames_count,
                records_count=state.records_count,
            )
            for stream, state in self._streams.items()
        }
