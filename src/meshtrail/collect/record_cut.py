"""A file or a body of records to the pieces that are journaled: framing only."""

from __future__ import annotations

from typing import Final

from meshtrail.collect.pieces import Piece
from meshtrail.journal import Framing
from meshtrail.model.entry import PayloadFormat
from meshtrail.model.record_formats import GIT_LOG, RECORD_FORMATS
from meshtrail.sources.delivery.git_cut import cut_git_log
from meshtrail.sources.line_slices import count_lines

FRAME_BYTES_MAX: Final = 256 << 10
"""Frames of lines are about as large, so that one body of megabytes does not hold up the others."""


def cut_records(name: str, body: bytes) -> list[Piece]:
    """Cut what holds whole records.

    Args:
        name: of the format, one of ``RECORD_FORMATS``.
        body: lines, the last with its line feed or without; of git-log, the output of git.

    Raises:
        InputError: it cannot be cut, and has to be kept whole.
    """
    payload_format = RECORD_FORMATS[name]
    if name == GIT_LOG:
        commits = cut_git_log(body)
        return [Piece(commit, 1, Framing.WHOLE, payload_format) for commit in commits]
    return cut_lines(body, payload_format)


def cut_lines(body: bytes, payload_format: PayloadFormat) -> list[Piece]:
    """Lines to frames of lines; empty ones become nothing."""
    pieces = []
    start = 0
    while start < len(body):
        end = len(body)
        if end - start > FRAME_BYTES_MAX:
            # The last line feed that keeps the frame small; else the end of its one large line.
            end = body.rfind(b"\n", start, start + FRAME_BYTES_MAX) + 1
            end = end or body.find(b"\n", start) + 1 or len(body)
        frame = body[start:end]
        records_count = count_lines(frame)
        if records_count:
            pieces.append(Piece(frame, records_count, Framing.LINES, payload_format))
        start = end
    return pieces


def keep_whole(body: bytes) -> Piece:
    """A body that cannot be cut, as it came."""
    return Piece(body, 1, Framing.WHOLE, PayloadFormat.BODY_FRAME)
