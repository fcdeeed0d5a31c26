"""What a starting writer finds in its directory, and puts right.

The newest file that has a header is read to its last good batch; a torn one behind it is cut off,
and what is kept is made durable, because the crash may have come between write and fsync.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meshtrail.errors import InputError, JournalDamageError
from meshtrail.journal.batch import decode_batches
from meshtrail.journal.file_positions import FilePositions, decode_position
from meshtrail.journal.files import file_path, list_files, open_file
from meshtrail.journal.frame import Framing
from meshtrail.journal.header import PreviousFile
from meshtrail.journal.open_streams import OpenStreams
from meshtrail.journal.recent_exports import RecentExports
from meshtrail.store.durable import remove_file, truncate_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.journal.batch import Batch
    from meshtrail.journal.file_positions import FilePosition
    from meshtrail.journal.files import JournalFile
    from meshtrail.journal.header import OpenStream
    from meshtrail.store.durable import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What the journal holds.

    Attributes:
        previous: its newest file; None when it is empty.
        open_streams: opened and not closed.
        recent_exports: digests of the last exports, joined.
        positions: how far files were taken.
        cut_bytes: how much of a torn batch was cut off.
    """

    previous: PreviousFile | None
    open_streams: dict[int, OpenStream]
    recent_exports: bytes
    positions: tuple[FilePosition, ...]
    cut_bytes: int


def recover_directory(disk: Disk, directory: Path) -> Recovered:
    """Bring the newest file to its last good batch, durably.

    Raises:
        JournalDamageError: durable bytes no longer read back; nothing was changed.
    """
    for file_number in reversed(list_files(directory)):
        file = open_file(disk, directory, file_number)
        if file is None:
            # Batches are written only when the header is durable: there never were any.
            remove_file(disk, file_path(directory, file_number))
            continue
        try:
            return _recover_file(disk, file)
        finally:
            file.close()
    return Recovered(previous=None, open_streams={}, recent_exports=b"", positions=(), cut_bytes=0)


def _recover_file(disk: Disk, file: JournalFile) -> Recovered:
    start = file.header_bytes
    file_bytes = max(file.count_bytes(), start)
    data = file.read(start, file_bytes - start)
    streams = OpenStreams(file.header.open_streams)
    exports = RecentExports(file.header.recent_exports)
    positions = FilePositions(file.header.positions)
    end = start
    for batch in decode_batches(data, file_offset=start, seed=file.seed):
        end = start + batch.end
        rows = batch.rows[["stream", "first_seq", "records_count", "entry_type"]]
        streams.apply_rows(rows.tolist())
        for digest in _frames_of(batch, data, Framing.EXPORT):
            exports.add(digest)
        for told in _frames_of(batch, data, Framing.POSITION):
            _apply_position(positions, told, file)
    file.check_tail(end)
    if end < file_bytes:
        truncate_file(disk, file.path, end)
    else:
        file.sync()
    return Recovered(
        previous=PreviousFile(file_number=file.file_number, file_bytes=end),
        open_streams=streams.snapshot(),
        recent_exports=exports.join(),
        positions=positions.snapshot(),
        cut_bytes=file_bytes - end,
    )


def _apply_position(positions: FilePositions, data: bytes, file: JournalFile) -> None:
    try:
        positions.apply(decode_position(data))
    except InputError as error:
        # Lines would be taken again, or never.
        raise JournalDamageError(f"{file.path}: {error.message}", path=file.path) from error


def _frames_of(batch: Batch, data: bytes, framing: Framing) -> Iterator[bytes]:
    """The frames of one framing in a batch, in their order."""
    lengths = batch.rows["frame_bytes"].astype(np.int64)
    ends = batch.data_start + np.cumsum(lengths)
    for row in np.flatnonzero(batch.rows["framing"] == framing):
        yield data[ends[row] - lengths[row] : ends[row]]
