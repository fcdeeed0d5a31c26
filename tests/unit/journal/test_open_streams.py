from __future__ import annotations

from meshtrail.journal.header import OpenStream
from meshtrail.journal.open_streams import OpenStreams
from meshtrail.model.entry import EntryType


def test_open_streams_are_those_opened_and_not_closed_with_their_counts() -> None:
    streams = OpenStreams({5: OpenStream(next_seq=4, frames_count=2, records_count=3)})
    streams.apply_rows(
        [
            (8, 0, 1, EntryType.STREAM_OPENED),
            (0, 0, 0, EntryType.RECORD),
            (8, 1, 28, EntryType.RECORD),
            (8, 29, 1, EntryType.CLOCK),
            (9, 0, 1, EntryType.STREAM_OPENED),
            (5, 4, 10, EntryType.RECORD),
            (9, 1, 1, EntryType.STREAM_CLOSED),
        ]
    )
    assert streams.snapshot() == {
        5: OpenStream(next_seq=14, frames_count=3, records_count=13),
        8: OpenStream(next_seq=30, frames_count=1, records_count=28),
    }


def test_open_streams_ignore_rows_of_a_stream_that_was_never_opened() -> None:
    streams = OpenStreams({})
    streams.apply(stream=3, first_seq=5, records_count=1, entry_type=EntryType.RECORD)
    streams.apply(stream=3, first_seq=6, records_count=1, entry_type=EntryType.STREAM_CLOSED)
    assert streams.snapshot() == {}
