"""Batches: what one group commit appends to a journal file.

Specified in docs/formats/journal.md. The CRC begins with the CRC of the file's header, which a
sender cannot know: bytes that imitate a batch inside a frame are never taken for one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from zlib_ng.zlib_ng import crc32

from meshtrail.journal.frame import ROW_BYTES, ROW_DTYPE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from meshtrail.journal.frame import Frame

BATCH_MAGIC = b"MTJB"

_CRC = struct.Struct(">I")
_HEAD = struct.Struct(">IIQQ")
_CRC_START = len(BATCH_MAGIC)
_HEAD_START = _CRC_START + _CRC.size
BATCH_HEADER_BYTES = _HEAD_START + _HEAD.size


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A complete batch as it stands in a buffer.

    Attributes:
        rows: ``ROW_DTYPE``[n], one for each frame.
        data_start: where the first frame begins in the buffer.
        end: where the batch ends in the buffer.
    """

    rows: npt.NDArray[Any]
    data_start: int
    end: int


def encode_batch(
    frames: Sequence[Frame], *, batch_number: int, file_offset: int, seed: int
) -> bytearray:
    """The bytes of one batch.

    Args:
        frames: at least one.
        batch_number: counted from 0 in each file.
        file_offset: where in the file the batch will stand. All before it is durable by then, so
            this is its ``durable_bytes`` too.
        seed: CRC-32 of the file's header.
    """
    data = [frame.data for frame in frames]
    head = _HEAD.pack(len(frames), sum(map(len, data)), batch_number, file_offset)
    rows = [frame.encode_row() for frame in frames]
    batch = bytearray().join([BATCH_MAGIC, bytes(_CRC.size), head, *rows, *data])
    # Over all of it at once: each call on more than 5 KiB lets go of the GIL, and whoever lets go
    # of it waits for the event loop to get it back.
    crc = crc32(memoryview(batch)[_HEAD_START:], seed)
    _CRC.pack_into(batch, _CRC_START, crc)
    return batch


def declared_bytes(buffer: bytes, start: int) -> int | None:
    """How long the batch at ``start`` says it is; None when there is no batch header.

    Only a complete batch with a good CRC can be believed; this is for reading enough of it.
    """
    if len(buffer) - start < BATCH_HEADER_BYTES or not buffer.startswith(BATCH_MAGIC, start):
        return None
    frames_count, data_bytes, _, _ = _HEAD.unpack_from(buffer, start + _HEAD_START)
    return int(BATCH_HEADER_BYTES + frames_count * ROW_BYTES + data_bytes)


def decode_batch(buffer: bytes, start: int, *, file_offset: int, seed: int) -> Batch | None:
    """The batch at ``start`` of ``buffer``, or None when there is no complete and good one.

    Args:
        buffer: part of a journal file.
        start: where in the buffer the batch begins.
        file_offset: where in the file the batch begins. One that names another place as its own
            is not a batch of this place, whatever its CRC.
        seed: CRC-32 of the file's header.
    """
    length = declared_bytes(buffer, start)
    if length is None or length > len(buffer) - start:
        return None
    frames_count, data_bytes, _, durable_bytes = _HEAD.unpack_from(buffer, start + _HEAD_START)
    if durable_bytes != file_offset or not frames_count:
        return None
    end = start + length
    (crc,) = _CRC.unpack_from(buffer, start + _CRC_START)
    if crc32(memoryview(buffer)[start + _HEAD_START : end], seed) != crc:
        return None
    rows = np.frombuffer(buffer, ROW_DTYPE, frames_count, start + BATCH_HEADER_BYTES)
    if int(rows["frame_bytes"].sum(dtype=np.int64)) != data_bytes:
        return None
    return Batch(rows, end - data_bytes, end)


def decode_batches(buffer: bytes, *, file_offset: int, seed: int) -> Iterator[Batch]:
    """The complete and good batches at the beginning of ``buffer``, up to the first that is not.

    Args:
        buffer: part of a journal file.
        file_offset: where in the file the buffer begins.
        seed: CRC-32 of the file's header.
    """
    start = 0
    while batch := decode_batch(buffer, start, file_offset=file_offset + start, seed=seed):
        start = batch.end
        yield batch


def find_batch(buffer: bytes, start: int, *, file_offset: int, seed: int) -> int | None:
    """Where the first complete and good batch at or behind ``start`` begins in ``buffer``.

    Args:
        buffer: part of a journal file.
        start: where to begin looking.
        file_offset: where in the file the buffer begins.
        seed: CRC-32 of the file's header.

    Cost: a CRC only where four bytes of magic and eight of file offset are right.
    """
    at = buffer.find(BATCH_MAGIC, start)
    while at >= 0:
        if decode_batch(buffer, at, file_offset=file_offset + at, seed=seed):
            return at
        at = buffer.find(BATCH_MAGIC, at + 1)
    return None
