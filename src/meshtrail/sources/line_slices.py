"""Frames of lines to their records, as columns: what stands between line feeds, byte for byte.

A record is what stands before a line feed, or behind the last one; an empty one is none. A carriage
return belongs to its record: bytes as received are the evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from meshtrail.errors import JournalDamageError

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

_LINE_FEED: Final = 10


def count_lines(frame: bytes) -> int:
    """How many records a frame of lines holds."""
    return sum(map(bool, frame.split(b"\n")))


def slice_lines(frames: pa.Array, counts: Numbers) -> pa.Array:
    """The records of frames of lines, in order.

    Args:
        frames: binary[n].
        counts: int64[n], how many records were counted in each when it came.

    Returns:
        binary[sum(counts)].

    Raises:
        JournalDamageError: a frame does not hold what was counted.
    """
    begins, ends, owners = _cut(frames)
    found = np.bincount(owners, minlength=len(frames))
    if not np.array_equal(found, counts):
        row = int(np.flatnonzero(found != counts)[0])
        raise JournalDamageError(
            f"a journaled frame of lines holds {found[row]} records, {counts[row]} were counted "
            "when it arrived",
            want=int(counts[row]),
            got=int(found[row]),
        )
    return _gather(frames, begins, ends)


def _cut(frames: pa.Array) -> tuple[Numbers, Numbers, Numbers]:
    """Where each record begins and ends in the bytes of all frames, and whose it is."""
    offsets = np.frombuffer(frames.buffers()[1], dtype=np.int32)[frames.offset :]
    offsets = offsets[: len(frames) + 1].astype(np.int64)
    data = _bytes_of(frames)
    feeds = np.flatnonzero(data[offsets[0] : offsets[-1]] == _LINE_FEED) + offsets[0]
    # A record ends at a line feed, or where its frame does.
    ends = np.union1d(feeds, offsets[1:])
    is_feed = np.isin(ends, feeds, assume_unique=True)
    begins = np.empty(len(ends), dtype=np.int64)
    begins[:1] = offsets[0]
    begins[1:] = ends[:-1] + is_feed[:-1]
    filled = np.flatnonzero(begins < ends)
    begins, ends = begins[filled], ends[filled]
    owners = np.searchsorted(offsets, begins, side="right") - 1
    return begins, ends, owners


def _gather(frames: pa.Array, begins: Numbers, ends: Numbers) -> pa.Array:
    """The bytes from each beginning to its end: binary[n]."""
    if not len(begins):
        return pa.array([], pa.binary())
    # Records and what stands between them, one behind the other: every second is one.
    bounds = np.column_stack([begins, ends]).ravel().astype(np.int32)
    buffers = [None, pa.py_buffer(bounds.tobytes()), frames.buffers()[2]]
    pieces = pa.Array.from_buffers(pa.binary(), len(bounds) - 1, buffers)
    return pieces.take(pa.array(np.arange(0, len(bounds) - 1, 2)))


def _bytes_of(frames: pa.Array) -> npt.NDArray[np.uint8]:
    data = frames.buffers()[2]
    return np.frombuffer(data if data is not None else b"", dtype=np.uint8)
