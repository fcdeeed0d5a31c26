"""A stream: its id, and the numbering of its entries without holes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from meshtrail.collect.payloads import CloseReason, stream_closed
from meshtrail.journal import Frame, Framing
from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from meshtrail.collect.pieces import Piece
    from meshtrail.journal import OpenStream
    from meshtrail.units import UnixNanos


class Stream:
    """Makes the frames of one stream, in order; each must be put into the journal.

    Attributes:
        id: random, so that streams of collectors that know nothing of one another differ.
        frames_count: frames of records so far.
        records_count: records in them.
    """

    def __init__(self) -> None:
        self.id = 1 + secrets.randbelow(INT64_MAX)
        self.frames_count = 0
        self.records_count = 0
        self._next_seq = 0

    @classmethod
    def resumed(cls, stream_id: int, state: OpenStream) -> Stream:
        """The stream that an earlier process left open, as far as it is durable."""
        stream = cls()
        stream.id = stream_id
        stream.frames_count = state.frames_count
        stream.records_count = state.records_count
        stream._next_seq = state.next_seq
        return stream

    @property
    def last_seq(self) -> int:
        """``seq`` of the last entry; -1 before the first."""
        return self._next_seq - 1

    def own_frame(self, entry_type: EntryType, payload: bytes, *, received_ns: UnixNanos) -> Frame:
        """An entry that the collector itself says on this stream."""
        return Frame(
            data=payload,
            received_ns=received_ns,
            stream=self.id,
            first_seq=self._take_seqs(1),
            records_count=1,
            entry_type=entry_type,
            framing=Framing.WHOLE,
            payload_format=PayloadFormat.MESHTRAIL_JSON,
        )

    def records_frame(
        self,
        data: bytes,
        *,
        records_count: int,
        framing: Framing,
        payload_format: PayloadFormat,
        received_ns: UnixNanos,
        flags: EntryFlags = EntryFlags(0),
    ) -> Frame:
        """A frame of records as it arrived."""
        self.frames_count += 1
        self.records_count += records_count
        return Frame(
            data=data,
            received_ns=received_ns,
            stream=self.id,
            first_seq=self._take_seqs(records_count),
            records_count=records_count,
            entry_type=EntryType.RECORD,
            framing=framing,
            payload_format=payload_format,
            flags=flags,
        )

    def piece_frame(self, piece: Piece, *, flags: EntryFlags, received_ns: UnixNanos) -> Frame:
        """The frame that a piece of a body becomes."""
        if piece.is_counters:
            return self.counters_frame(
                piece.data,
                payload_format=piece.payload_format,
                flags=flags | EntryFlags.FILTERED,
                received_ns=received_ns,
            )
        return self.records_frame(
            piece.data,
            records_count=piece.records_count,
            framing=piece.framing,
            payload_format=piece.payload_format,
            received_ns=received_ns,
            flags=flags,
        )

    def counters_frame(
        self,
        payload: bytes,
        *,
        payload_format: PayloadFormat,
        flags: EntryFlags,
        received_ns: UnixNanos,
    ) -> Frame:
        """An entry of the counters that a proxy pushed; it is no record, and not counted as one."""
        return Frame(
            data=payload,
            received_ns=received_ns,
            stream=self.id,
            first_seq=self._take_seqs(1),
            records_count=1,
            entry_type=EntryType.COUNTER,
            framing=Framing.WHOLE,
            payload_format=payload_format,
            flags=flags,
        )

    def closed_frame(
        self, reason: CloseReason, *, detail: str | None, received_ns: UnixNanos
    ) -> Frame:
        """The last entry of the stream."""
        payload = stream_closed(
            reason,
            detail=detail,
            records_count=self.records_count,
            frames_count=self.frames_count,
        )
        return self.own_frame(EntryType.STREAM_CLOSED, payload, received_ns=received_ns)

    def _take_seqs(self, count: int) -> int:
        """Number so many entries more; returns the first number."""
        first_seq = self._next_seq
        self._next_seq += count
        return first_seq
