from __future__ import annotations

from meshtrail.collect.payloads import CloseReason
from meshtrail.collect.stream import Stream
from meshtrail.journal import Framing, OpenStream
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.units import INT64_MAX, UnixNanos
from tests.collect_rig import decode_json

NOW = UnixNanos(17)


def test_streams_have_random_ids_that_fit_the_header() -> None:
    ids = {Stream().id for _ in range(1_000)}
    assert len(ids) == 1_000
    assert min(ids) >= 1
    assert max(ids) <= INT64_MAX
    assert max(ids) > INT64_MAX // 2


def test_frames_of_a_stream_are_numbered_without_holes() -> None:
    stream = Stream()
    opened = stream.own_frame(EntryType.STREAM_OPENED, b"{}", received_ns=NOW)
    records = stream.records_frame(
        b"frame",
        records_count=28,
        framing=Framing.ALS,
        payload_format=PayloadFormat.ALS_TCP,
        received_ns=NOW,
    )
    closed = stream.closed_frame(CloseReason.ENDED, detail=None, received_ns=NOW)
    assert [frame.first_seq for frame in (opened, records, closed)] == [0, 1, 29]
    assert {frame.stream for frame in (opened, records, closed)} == {stream.id}
    assert records.entry_type is EntryType.RECORD
    assert records.payload_format is PayloadFormat.ALS_TCP
    assert decode_json(closed.data) == {
        "detail": None,
        "frames": 1,
        "reason": "ended",
        "records": 28,
    }
    assert stream.last_seq == 29


def test_resumed_stream_goes_on_where_the_journal_ends() -> None:
    state = OpenStream(next_seq=40, frames_count=3, records_count=39)
    stream = Stream.resumed(9, state)
    assert stream.last_seq == 39
    closed = stream.closed_frame(CloseReason.COLLECTOR_RESTARTED, detail="x", received_ns=NOW)
    assert (closed.stream, closed.first_seq) == (9, 40)
    assert decode_json(closed.data) == {
        "detail": "x",
        "frames": 3,
        "reason": "collector-restarted",
        "records": 39,
    }
