from __future__ import annotations

import numpy as np

from meshtrail.journal import NO_ENTRIES, ROW_DTYPE, Framing, blob_frame, position_frame
from meshtrail.journal.file_positions import decode_position
from meshtrail.journal.frame import ROW_BYTES
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.units import INT64_MAX, UnixNanos
from tests.file_positions import position
from tests.journal_frames import record_frame


def test_row_has_forty_bytes_at_the_offsets_of_the_format() -> None:
    assert ROW_BYTES == 40
    fields = ROW_DTYPE.fields
    assert fields is not None
    assert [(name, fields[name][1]) for name in ROW_DTYPE.names or ()] == [
        ("received_ns", 0),
        ("stream", 8),
        ("first_seq", 16),
        ("records_count", 24),
        ("frame_bytes", 28),
        ("entry_type", 32),
        ("framing", 33),
        ("payload_format", 34),
        ("flags", 36),
        ("reserved", 38),
    ]


def test_row_of_a_frame_reads_back_as_columns() -> None:
    frame = record_frame(b"data", stream=INT64_MAX, first_seq=2**40, records_count=2**32 - 1)
    (row,) = np.frombuffer(frame.encode_row(), ROW_DTYPE)
    assert row["stream"] == INT64_MAX
    assert row["first_seq"] == 2**40
    assert row["records_count"] == 2**32 - 1
    assert row["frame_bytes"] == 4
    assert row["framing"] == Framing.ALS
    assert row["payload_format"] == PayloadFormat.ALS_HTTP
    assert row["reserved"] == 0


def test_blob_belongs_to_no_stream_and_becomes_no_entry() -> None:
    blob = blob_frame(b"identifier", received_ns=UnixNanos(5))
    assert (blob.stream, blob.records_count, blob.first_seq) == (0, 0, 0)
    assert blob.framing is Framing.BLOB
    assert blob.entry_type is EntryType.RECORD


def test_position_of_a_file_belongs_to_no_stream_and_becomes_no_entry() -> None:
    frame = position_frame(position(), received_ns=UnixNanos(5))
    assert (frame.stream, frame.records_count, frame.first_seq) == (0, 0, 0)
    assert frame.framing is Framing.POSITION
    assert frame.framing in NO_ENTRIES
    assert decode_position(frame.data) == position()
