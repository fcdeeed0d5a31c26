"""Frames for journals in tests, and what a reader gives back, as plain tuples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.journal import Frame, Framing, JournalReader
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.journal import JournalSlice

STREAM = 77


def record_frame(
    data: bytes, *, stream: int = STREAM, first_seq: int = 1, records_count: int = 1
) -> Frame:
    return Frame(
        data=data,
        received_ns=UnixNanos(1_700_000_000_000_000_001),
        stream=stream,
        first_seq=first_seq,
        records_count=records_count,
        entry_type=EntryType.RECORD,
        framing=Framing.ALS,
        payload_format=PayloadFormat.ALS_HTTP,
    )


def opened_frame(stream: int = STREAM) -> Frame:
    return _own_frame(EntryType.STREAM_OPENED, stream=stream, seq=0)


def closed_frame(*, seq: int, stream: int = STREAM) -> Frame:
    return _own_frame(EntryType.STREAM_CLOSED, stream=stream, seq=seq)


def _own_frame(entry_type: EntryType, *, stream: int, seq: int) -> Frame:
    return Frame(
        data=b"{}",
        received_ns=UnixNanos(1_700_000_000_000_000_000),
        stream=stream,
        first_seq=seq,
        records_count=1,
        entry_type=entry_type,
        framing=Framing.WHOLE,
        payload_format=PayloadFormat.MESHTRAIL_JSON,
    )


def read_all(reader: JournalReader) -> list[bytes]:
    """The data of every frame that is there to be read."""
    return [data for part in iter(reader.read, None) for data in slice_data(part)]


def slice_data(part: JournalSlice) -> list[bytes]:
    return [bytes(part.frame(index)) for index in range(len(part.rows))]


def data_of(frames: Iterable[Frame]) -> list[bytes]:
    return [frame.data for frame in frames]
