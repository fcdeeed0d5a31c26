"""A frame as the journal stages it, and the row of 40 bytes that stands for it in a batch.

Specified in docs/formats/journal.md. The journal never looks inside a frame.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from meshtrail.journal.file_positions import encode_position
from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from meshtrail.journal.file_positions import Told


class Framing(IntEnum):
    """How the bytes of a frame become entries."""

    WHOLE = 0
    """The frame is the payload of one entry."""
    ALS = 1
    """The frame is a ``StreamAccessLogsMessage``; each of its log entries is a payload."""
    BLOB = 2
    """The frame becomes no entry: it is kept under its SHA-256."""
    OTLP = 3
    """The frame is an OTLP export request in protobuf; each of its records makes a payload."""
    EXPORT = 4
    """The frame becomes no entry: it is the digest of an export whose frames stand beside it."""
    LINES = 5
    """The frame is lines; each that is not empty is a payload."""
    POSITION = 6
    """The frame becomes no entry: it says how far a file was taken whose lines stand beside it."""


NO_ENTRIES: Final = (Framing.BLOB, Framing.EXPORT, Framing.POSITION)
"""Framings of frames that become no entry."""


ROW_DTYPE = np.dtype(
    [
        ("received_ns", ">i8"),
        ("stream", ">i8"),
        ("first_seq", ">i8"),
        ("records_count", ">u4"),
        ("frame_bytes", ">u4"),
        ("entry_type", "u1"),
        ("framing", "u1"),
        ("payload_format", ">u2"),
        ("flags", ">u2"),
        ("reserved", ">u2"),
    ]
)
"""A row as a numpy record, byte for byte."""

ROW_BYTES = ROW_DTYPE.itemsize

_ROW = struct.Struct(">qqqIIBBHHH")


class Frame(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The exact bytes of one message, with what was known when it arrived.

    A struct, because one is made for each message: a frozen dataclass takes ten times as long.

    Attributes:
        data: the bytes.
        received_ns: on the writer's clock.
        stream: 1 to 2^63-1; 0 for what becomes no entry, and belongs to no stream.
        first_seq: ``seq`` of the first entry that the frame becomes.
        records_count: how many entries it becomes.
        entry_type: of all of them.
        framing: how they are cut out of ``data``.
        payload_format: of all of them.
        flags: of all of them.
    """

    data: bytes
    received_ns: UnixNanos
    stream: int
    first_seq: int
    records_count: int
    entry_type: EntryType
    framing: Framing
    payload_format: PayloadFormat
    flags: EntryFlags = EntryFlags(0)

    def encode_row(self) -> bytes:
        """The row of this frame."""
        return _ROW.pack(
            self.received_ns,
            self.stream,
            self.first_seq,
            self.records_count,
            len(self.data),
            self.entry_type,
            self.framing,
            self.payload_format,
            self.flags,
            0,
        )


def blob_frame(data: bytes, *, received_ns: UnixNanos) -> Frame:
    """A frame that becomes the blob named by its SHA-256, and no entry."""
    return Frame(
        data=data,
        received_ns=received_ns,
        stream=0,
        first_seq=0,
        records_count=0,
        entry_type=EntryType.RECORD,
        framing=Framing.BLOB,
        payload_format=PayloadFormat.ALS_FRAME,
    )


def export_frame(digest: bytes, *, received_ns: UnixNanos) -> Frame:
    """A frame that says which export was taken, see ``RecentExports``; it becomes no entry."""
    return Frame(
        data=digest,
        received_ns=received_ns,
        stream=0,
        first_seq=0,
        records_count=0,
        entry_type=EntryType.RECORD,
        framing=Framing.EXPORT,
        payload_format=PayloadFormat.OTLP_FRAME,
    )


def position_frame(told: Told, *, received_ns: UnixNanos) -> Frame:
    """A frame that says how far a file was taken, see ``FilePositions``; it becomes no entry."""
    return Frame(
        data=encode_position(told),
        received_ns=received_ns,
        stream=0,
        first_seq=0,
        records_count=0,
        entry_type=EntryType.RECORD,
        framing=Framing.POSITION,
        payload_format=PayloadFormat.MESHTRAIL_JSON,
    )
